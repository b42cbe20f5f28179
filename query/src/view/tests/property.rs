//! The pinned property over a whole database: whatever comes in which order, whatever is saved, lost and restored when,
//! a view is its query.

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const WINDOWS: [&str; 5] = [
    "",
    "WINDOW TUMBLING (SIZE 1 MINUTE)",
    "WINDOW HOPPING (SIZE 3 MINUTES, ADVANCE BY 1 MINUTE)",
    "WINDOW SESSION (20 SECONDS)",
    "WINDOW HOPPING (SIZE 1 MINUTE, ADVANCE BY 20 SECONDS)",
];

fn sql(window: &str) -> String {
    let having = match window.contains("BY 20 SECONDS)") {
        true => "HAVING COUNT(*) > 1",
        false => "",
    };
    format!(
        "SELECT page, COUNT(*) AS n, COUNT(DISTINCT visitor) AS visitors, COLLECT_LIST(visitor) AS all_visitors, \
         LAST(visitor) AS latest, SUM(60 / pace) AS share, SUM(60 % pace) FILTER (WHERE pace > 2) AS rest \
         FROM hits WHERE pace <> 0 {window} GROUP BY page {having}"
    )
}

fn hits(rng: &mut SmallRng, newest: &mut i64) -> String {
    let rows: Vec<String> = (0..rng.random_range(1..6))
        .map(|_| {
            *newest += rng.random_range(0..30);
            // Mostly on time, now and then beyond all lateness.
            let late = match rng.random_range(0..12) {
                0 => rng.random_range(0..600),
                1..4 => rng.random_range(0..60),
                _ => 0,
            };
            let at = (*newest - late).max(0);
            format!(
                "('p{}', 'v{}', {}, {}, CAST({} AS TIMESTAMP))",
                rng.random_range(0..3),
                rng.random_range(0..4),
                rng.random_range(0..5),
                rng.random_range(0..5),
                (1_767_261_600 + at) * 1_000_000_000,
            )
        })
        .collect();
    format!(
        "INSERT INTO hits (page, host, visitor, pace, timestamp) VALUES {}",
        rows.join(", ")
    )
}

#[test]
fn a_view_is_its_query_whatever_is_saved_lost_and_restored() {
    for seed in 0..8 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut dir = tempfile::tempdir().unwrap();
        let config = ViewConfig {
            checkpoint_bytes: [1, 400, 1 << 20][seed as usize % 3],
            slice_groups: [1, 4][seed as usize % 2],
            ..ViewConfig::default()
        };
        let mut db = Db::open_with(dir.path(), config);
        db.run("CREATE STREAM hits (page STRING, host STRING TAG, visitor BIGINT, pace BIGINT, timestamp TIMESTAMP) WITH (lateness = '1 minute')");
        let mut newest = 0;
        for (i, window) in WINDOWS.iter().enumerate() {
            db.run(&format!("CREATE MATERIALIZED VIEW v{i} AS {}", sql(window)));
            db.run(&hits(&mut rng, &mut newest));
        }
        for step in 0..40 {
            db.run(&hits(&mut rng, &mut newest));
            match rng.random_range(0..12) {
                0 => db.engine.flush().unwrap(),
                1 => {
                    db.close();
                    db = Db::open_with(dir.path(), config);
                }
                2 => {
                    dir = db.crash(dir.path());
                    db = Db::open_with(dir.path(), config);
                }
                _ => {}
            }
            if rng.random_range(0..4) == 0 {
                for (i, window) in WINDOWS.iter().enumerate() {
                    let view = db.rows(&format!("SELECT * FROM v{i}"));
                    assert_eq!(view, db.rows(&sql(window)), "seed {seed} step {step} v{i}");
                }
            }
        }
        db.close();
    }
}
