//! Saved states: what a view is after it was restored from one.

use super::*;
use crate::view::checkpoint::{Checkpoint, Draft};
use crate::view::definition::Definition;
use crate::view::saving::Saving;

#[test]
fn a_checkpoint_at_a_commit_holds_that_commit() {
    let dir = tempfile::tempdir().unwrap();
    let config = ViewConfig {
        checkpoint_bytes: 1,
        ..ViewConfig::default()
    };
    let db = Db::open_with(dir.path(), config);
    db.run(PURCHASES);
    db.run(&format!("CREATE MATERIALIZED VIEW by_city AS {BY_CITY}"));
    let check = |db: &Db, rows: usize| {
        let view = db.rows("SELECT * FROM by_city");
        assert_eq!(view, db.rows(BY_CITY));
        assert_eq!(view.len(), rows);
    };
    insert(&db, &[(1, "10.50", "Oslo", "10:00:01")]);
    check(&db, 1);
    insert(&db, &[(1, "2.25", "Bergen", "10:00:02")]);
    check(&db, 2);
    // The last state saved is the one of the last commit: nothing is saved on the way out.
    let copy = db.crash(dir.path());
    let db = Db::open_with(copy.path(), config);
    check(&db, 2);
    db.close();
}

#[test]
fn a_view_that_let_go_of_commits_is_rebuilt_and_saves_no_state_before() {
    let dir = tempfile::tempdir().unwrap();
    let config = ViewConfig {
        checkpoint_bytes: 1,
        queue_bytes: 0,
        ..ViewConfig::default()
    };
    let db = Db::open_with(dir.path(), config);
    db.run(PURCHASES);
    db.run(&format!("CREATE MATERIALIZED VIEW by_city AS {BY_CITY}"));
    for i in 0..20 {
        insert(&db, &[(i, "1.00", "Oslo", &format!("10:{i:02}:01"))]);
    }
    let expected = db.rows(BY_CITY);
    db.wait_for(|db| db.rows("SELECT * FROM by_city") == expected);
    db.close();
    let db = Db::open(dir.path());
    assert_eq!(db.rows("SELECT * FROM by_city"), expected);
    db.close();
}

fn checkpoints(dir: &Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(dir.join("checkpoints")).unwrap();
    files.map(|f| f.unwrap().path()).collect()
}

/// The definition of a view in the catalog.
fn saving_of(db: &Db, name: &str) -> Saving {
    let mut objects = db.engine.catalog().objects("view").into_iter();
    let object = objects.find(|o| o.name == name).expect("a view");
    let definition = Definition::decode(&object.payload).expect("a definition");
    Saving::of("default", name, &definition)
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_left_aside_for_history() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PURCHASES);
    db.run(&format!("CREATE MATERIALIZED VIEW by_city AS {BY_CITY}"));
    insert(&db, &[(1, "10.50", "Oslo", "10:00:01")]);
    let saving = saving_of(&db, "by_city");
    db.close();
    // Whole and of this definition, and yet no state of this operator.
    let engine = Engine::open(&EngineConfig::new(dir.path())).unwrap();
    let checkpoint = Checkpoint::newest(engine.disk(), saving.id, saving.hash).unwrap();
    let mut draft = Draft::begin(engine.disk(), saving.id, checkpoint.head).unwrap();
    draft.slice(&checkpoint.slices[8..17]).unwrap();
    draft.finish(engine.disk()).unwrap();
    engine.close();
    drop(engine);
    let db = Db::open(dir.path());
    assert_eq!(db.rows("SELECT * FROM by_city"), db.rows(BY_CITY));
    assert_eq!(db.rows("SELECT * FROM by_city").len(), 1);
    db.close();
}

#[test]
fn a_new_view_is_saved_at_once_and_a_failed_replacement_leaves_the_old_ones_state() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path());
    db.run(PURCHASES);
    insert(&db, &[(1, "10.50", "Oslo", "10:00:01")]);
    db.run(&format!("CREATE MATERIALIZED VIEW by_city AS {BY_CITY}"));
    let saved = |db: &Db, saving: &Saving| {
        Checkpoint::newest(db.engine.disk(), saving.id, saving.hash).is_some()
    };
    let saving = saving_of(&db, "by_city");
    db.wait_for(|db| saved(db, &saving));
    // A row on which the new query fails.
    let failed = db.fail(
        "CREATE OR REPLACE MATERIALIZED VIEW by_city AS SELECT SUM(1 / (user_id - 1)) AS s FROM purchases",
    );
    assert!(failed.contains("zero"), "{failed}");
    assert!(saved(&db, &saving), "the old view's state is gone");
    assert_eq!(checkpoints(dir.path()).len(), 1);
    assert_eq!(db.rows("SELECT * FROM by_city").len(), 1);
    // One that succeeds takes the old one's place.
    db.run("CREATE OR REPLACE MATERIALIZED VIEW by_city AS SELECT COUNT(*) AS n FROM purchases");
    let new = saving_of(&db, "by_city");
    db.wait_for(|db| saved(db, &new) && !saved(db, &saving));
    db.close();
    // What a crash left behind goes at the next start.
    let stray = dir
        .path()
        .join("checkpoints/00000000000000aa-0000000000000001.ck");
    std::fs::write(&stray, b"stray").unwrap();
    let db = Db::open(dir.path());
    assert_eq!(db.rows("SELECT * FROM by_city"), ["1"]);
    db.close();
    assert_eq!(checkpoints(dir.path()).len(), 1);
}
