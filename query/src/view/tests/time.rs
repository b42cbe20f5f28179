//! What views make of time: idle streams, and rows from the future.

use super::*;
use tsdb::io::StdDisk;
use tsdb::sim::SimClock;

/// 2026-01-01 10:00:00, in nanoseconds.
const TEN: i64 = 1_767_261_600_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn open(dir: &Path, clock: &Arc<SimClock>) -> Db {
    let disk = Arc::new(StdDisk::new(dir).unwrap());
    let engine = Engine::open_on(disk, clock.clone(), &EngineConfig::new(dir)).unwrap();
    Db::over(engine, ViewConfig::default())
}

/// The next frame, the ticker not left to sleep meanwhile.
fn next(db: &Db, subscription: &mut Subscription) -> Arc<Frame> {
    let mut frame = None;
    db.wait_for(|db| {
        if let Some(ticker) = db.views.ticker.lock().as_ref() {
            ticker.thread().unpark();
        }
        frame.is_some() || {
            frame = subscription.try_next();
            frame.is_some()
        }
    });
    frame.expect("a frame")
}

fn closed(frame: &Frame) -> Vec<String> {
    match frame {
        Frame::Changes { insert, .. } => lines(insert),
        other => panic!("{other:?}"),
    }
}

#[test]
fn windows_of_an_idle_stream_close_after_a_restart_and_for_a_new_subscription() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SimClock::new(TEN));
    let db = open(dir.path(), &clock);
    db.run(PURCHASES);
    let sql =
        "SELECT city, COUNT(*) AS n FROM purchases WINDOW TUMBLING (SIZE 5 SECONDS) GROUP BY city";
    db.run(&format!("CREATE MATERIALIZED VIEW v AS {sql}"));
    insert(&db, &[(1, "1.00", "Oslo", "10:00:01")]);
    db.close();
    clock.advance(SECOND);
    let db = open(dir.path(), &clock);
    let mut restored = db.views.subscribe("default", "v", true).unwrap();
    let mut new = db.subscribe(&format!("{sql} EMIT FINAL"));
    for subscription in [&mut restored, &mut new] {
        let frame = next(&db, subscription);
        assert!(matches!(frame.as_ref(), Frame::Snapshot { rows, .. } if rows.num_rows() == 0));
    }
    clock.advance(11 * SECOND);
    for subscription in [&mut restored, &mut new] {
        let rows = closed(&next(&db, subscription));
        assert!(
            rows.len() == 1 && rows[0].starts_with("Oslo|1|"),
            "{rows:?}"
        );
    }
    db.close();
}

#[test]
fn a_row_from_the_future_does_not_move_the_watermark_of_a_view_over_history() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SimClock::new(TEN));
    let db = open(dir.path(), &clock);
    db.run(PURCHASES);
    insert(
        &db,
        &[
            (1, "1.00", "Oslo", "09:00:10"),
            (1, "1.00", "Oslo", "23:00:00"),
            (1, "1.00", "Oslo", "09:00:05"),
        ],
    );
    db.run("CREATE MATERIALIZED VIEW grouped AS SELECT city, COUNT(*) AS n FROM purchases GROUP BY city");
    db.run("CREATE MATERIALIZED VIEW sets AS SELECT COUNT(DISTINCT city) AS n FROM purchases WINDOW TUMBLING");
    db.run("CREATE MATERIALIZED VIEW single AS SELECT city FROM purchases");
    for row in db.rows("SHOW VIEWS") {
        assert!(row.contains("|2026-01-01T09:00:05|"), "{row}");
    }
    db.close();
}
