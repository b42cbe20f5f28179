//! Slow subscribers, large views, and what is told of both.

use super::*;
use std::time::Duration;

const PAGES: &str = "CREATE STREAM pages (id BIGINT, body STRING, timestamp TIMESTAMP)";
const BODIES: &str = "SELECT id, LAST(body) AS body FROM pages GROUP BY id";

/// Writes pages `from..to` of 64 KiB each.
fn write(db: &Db, from: usize, to: usize) {
    let body = "x".repeat(64 << 10);
    for i in from..to {
        db.run(&format!(
            "INSERT INTO pages VALUES ({i}, '{body}', TIMESTAMP '2026-01-01 10:00:00')"
        ));
    }
}

fn next(db: &Db, subscription: &mut Subscription) -> Arc<Frame> {
    let next = async { tokio::time::timeout(Duration::from_secs(60), subscription.next()).await };
    let frame = db.runtime.block_on(next);
    frame.expect("a subscriber waits for good").expect("open")
}

#[test]
fn a_slow_subscriber_of_a_view_larger_than_its_queue_goes_on_behind_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PAGES);
    db.run(&format!("CREATE MATERIALIZED VIEW bodies AS {BODIES}"));
    let mut subscription = db.views.subscribe("default", "bodies", false).unwrap();
    let Frame::Snapshot { seq: first, .. } = *next(&db, &mut subscription) else {
        panic!("the first frame is a snapshot");
    };
    // More than the queue holds, none of it taken; each read makes sure that the view has it.
    for i in 0..5 {
        write(&db, i * 70, (i + 1) * 70);
        db.rows("SELECT COUNT(*) FROM bodies");
    }
    db.wait_for(|_| subscription.seq() == first);
    let Frame::Gap { from, to } = *next(&db, &mut subscription) else {
        panic!("what was dropped is a gap");
    };
    assert_eq!(from, first, "the gap begins where the subscriber stands");
    // A change behind the snapshot must not push it out again.
    write(&db, 350, 351);
    db.rows("SELECT COUNT(*) FROM bodies");
    let frame = next(&db, &mut subscription);
    let Frame::Snapshot { seq, rows } = frame.as_ref() else {
        panic!("a snapshot ends the gap: {frame:?}");
    };
    assert_eq!((*seq, rows.num_rows()), (to, 350));
    let frame = next(&db, &mut subscription);
    let Frame::Changes { prev, insert, .. } = frame.as_ref() else {
        panic!("and changes follow: {frame:?}");
    };
    assert_eq!((*prev, insert.num_rows()), (to, 1));
    db.close();
}

#[test]
fn changes_behind_a_first_snapshot_larger_than_the_queue_leave_it_there() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PAGES);
    write(&db, 0, 300);
    db.run(&format!("CREATE MATERIALIZED VIEW bodies AS {BODIES}"));
    let mut subscription = db.views.subscribe("default", "bodies", false).unwrap();
    write(&db, 300, 301);
    db.rows("SELECT COUNT(*) FROM bodies");
    let frame = next(&db, &mut subscription);
    let Frame::Snapshot { rows, .. } = frame.as_ref() else {
        panic!("the first frame is a snapshot: {frame:?}");
    };
    assert_eq!(rows.num_rows(), 300);
    let frame = next(&db, &mut subscription);
    assert!(matches!(frame.as_ref(), Frame::Changes { .. }), "{frame:?}");
    db.close();
}
