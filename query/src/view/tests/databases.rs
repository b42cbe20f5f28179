//! Views and the databases that names without one mean.

use super::*;
use crate::view::runtime::KIND;

#[test]
fn a_view_reads_the_same_stream_after_a_restart_whatever_database_it_lies_in() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run("CREATE DATABASE other");
    db.run("CREATE STREAM s (ts TIMESTAMP, v BIGINT)");
    db.run("CREATE STREAM other.s (ts TIMESTAMP, v BIGINT)");
    db.run("INSERT INTO s VALUES ('2026-01-01 00:00:00', 1)");
    db.run("INSERT INTO other.s VALUES ('2026-01-01 00:00:00', 100)");
    db.run("CREATE MATERIALIZED VIEW other.here AS SELECT sum(v) AS s FROM s");
    db.run("USE other; CREATE MATERIALIZED VIEW \"default\".there AS SELECT sum(v) AS s FROM s");
    db.run("CREATE VIEW named (total, \"at\") AS SELECT sum(v) AS s, count(*), max(v) FROM s");
    let check = |db: &Db| {
        assert_eq!(db.rows("SELECT s FROM other.here"), ["1"]);
        assert_eq!(
            db.rows("SELECT total, \"at\" > 0, \"max(v)\" FROM named"),
            ["1|true|1"]
        );
        assert_eq!(db.rows("SELECT s FROM \"default\".there"), ["100"]);
    };
    check(&db);
    db.close();
    let db = Db::open(dir.path());
    check(&db);
    db.run("INSERT INTO s VALUES ('2026-01-01 00:00:01', 0)");
    check(&db);
    // A stream of the same name that is not the one the view was made over is none of its business.
    let objects = db.engine.catalog().objects(KIND);
    let mut object = objects.into_iter().find(|o| o.name == "here").unwrap();
    let mut definition = super::super::definition::Definition::decode(&object.payload).unwrap();
    definition.stream.0 += 100;
    object.payload = definition.encode();
    db.engine.catalog().put_object(object);
    db.run("INSERT INTO s VALUES ('2026-01-01 00:00:02', 0)");
    db.close();
    let db = Db::open(dir.path());
    let states = db.rows("SHOW VIEWS LIKE 'there'");
    assert!(states[0].contains("running"), "{states:?}");
    let failed = db.fail("SELECT s FROM other.here");
    assert!(failed.contains("not the one it was made over"), "{failed}");
    db.close();
}
