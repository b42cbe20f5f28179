//! The registry as its clients meet it, and what a restart finds.

use super::*;
use crate::SchemaKind;
use crate::compat::Level;
use proptest::prelude::*;
use tempfile::TempDir;
use tsdb::EngineConfig;

fn open(dir: &TempDir) -> Registry {
    Registry::open(Engine::open(&EngineConfig::new(dir.path())).unwrap())
}

fn fresh() -> (TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(&dir);
    (dir, registry)
}

fn avro(fields: &[&str]) -> NewSchema {
    let field = |f: &&str| format!(r#"{{"name":"{f}","type":"int"}}"#);
    let fields: Vec<String> = fields.iter().map(field).collect();
    of(
        SchemaKind::Avro,
        &format!(
            r#"{{"type":"record","name":"R","fields":[{}]}}"#,
            fields.join(",")
        ),
    )
}

fn of(kind: SchemaKind, text: &str) -> NewSchema {
    NewSchema {
        kind,
        text: text.into(),
        references: Vec::new(),
        id: None,
        version: None,
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, RegistryError>) -> u32 {
    result.unwrap_err().code
}

/// All that a restart must bring back.
fn content(state: &State) -> String {
    let schemas: Vec<_> = state.schemas.values().collect();
    let mut guids: Vec<_> = state.by_guid.iter().collect();
    guids.sort();
    format!(
        "{schemas:?} {guids:?} {:?} {:?} {:?} {}",
        state.subjects, state.level, state.mode, state.next_id
    )
}

#[test]
fn the_same_schema_has_the_same_id_everywhere_and_versions_count_up() {
    let (_dir, r) = fresh();
    let one = r.register("a", &avro(&["x"]), false).unwrap();
    assert_eq!((one.version, one.schema.id), (1, 1));
    let blanks = of(SchemaKind::Avro, &one.schema.text.replace(':', " : "));
    let again = r.register("a", &blanks, false).unwrap();
    assert_eq!(
        (again.version, again.schema.id),
        (1, 1),
        "blanks do not count"
    );
    let other = r.register("b", &avro(&["x"]), false).unwrap();
    assert_eq!((other.version, other.schema.id), (1, 1));
    let second = r.register("a", &avro(&[]), false).unwrap();
    assert_eq!((second.version, second.schema.id), (2, 2));
    assert_eq!(r.versions("a", Listed::Live).unwrap(), [1, 2]);
    assert_eq!(r.subjects("", Listed::Live), ["a", "b"]);
    assert_eq!(r.subjects("b", Listed::Live), ["b"]);
    assert_eq!(
        r.uses(1, false).unwrap(),
        [("a".into(), 1), ("b".into(), 1)]
    );
    assert_eq!(
        r.lookup("a", &avro(&["x"]), false, false).unwrap().version,
        1
    );
    assert_eq!(code(r.lookup("a", &avro(&["z"]), false, false)), 40403);
    assert_eq!(code(r.lookup("c", &avro(&["x"]), false, false)), 40401);
    assert_eq!(code(r.version("a", VersionChoice::Number(3), false)), 40402);
    assert_eq!(code(r.version("c", VersionChoice::Latest, false)), 40401);
    assert_eq!(
        r.version("a", VersionChoice::Latest, false)
            .unwrap()
            .version,
        2
    );
    assert_eq!(code(r.schema_of(&SchemaId::Id(9))), 40403);
    let guid = SchemaId::Guid(one.schema.guid);
    assert_eq!(r.schema_of(&guid).unwrap().id, 1);
    assert_eq!(r.schema(&guid).unwrap().text, one.schema.text);
    assert!(matches!(
        r.schema(&SchemaId::Id(9)),
        Err(Missing::Unknown(_))
    ));
    // The order of members is no part of what an Avro schema is, and neither is how long its types are written.
    let turned = of(
        SchemaKind::Avro,
        r#"{"name":"R","fields":[{"type":{"type":"int"},"name":"x"}],"type":"record"}"#,
    );
    assert_eq!(r.lookup("a", &turned, false, false).unwrap().version, 1);
    // Of a JSON Schema the order counts, unless it is not to.
    let plain = of(SchemaKind::Json, r#"{"type":"object","title":"t"}"#);
    let turned = of(SchemaKind::Json, r#"{"title":"t","type":"object"}"#);
    r.register("j", &plain, false).unwrap();
    assert_eq!(code(r.lookup("j", &turned, false, false)), 40403);
    assert_eq!(r.lookup("j", &turned, true, false).unwrap().version, 1);
    let proto = of(
        SchemaKind::Protobuf,
        "syntax = \"proto3\"; message A { int32 x = 1; }",
    );
    let id = r.register("p", &proto, false).unwrap().schema.id;
    let comment = of(
        SchemaKind::Protobuf,
        "// a comment\nsyntax = \"proto3\";\nmessage A { int32 x = 1; }",
    );
    assert_eq!(r.register("p", &comment, false).unwrap().schema.id, id);
    let serialized = r
        .text_as(&r.schema_of(&SchemaId::Id(id)).unwrap(), "serialized")
        .unwrap();
    assert_eq!(
        r.register("p", &of(SchemaKind::Protobuf, &serialized), false)
            .unwrap()
            .schema
            .id,
        id
    );
}

#[test]
fn what_is_invalid_or_incompatible_is_refused() {
    let (_dir, r) = fresh();
    for schema in [
        of(SchemaKind::Avro, "{"),
        of(SchemaKind::Protobuf, "message"),
        of(SchemaKind::Json, "3"),
        of(
            SchemaKind::Avro,
            &format!("\"int\"{}", " ".repeat(MAX_SCHEMA)),
        ),
    ] {
        assert_eq!(code(r.register("a", &schema, false)), 42201);
    }
    for name in ["", "a\0b", &"x".repeat(MAX_NAME + 1)] {
        assert_eq!(code(r.register(name, &avro(&["x"]), false)), 42208);
    }
    r.register("a", &avro(&["x"]), false).unwrap();
    let wrong = r.register("a", &avro(&["x", "y"]), false).unwrap_err();
    assert_eq!((wrong.status, wrong.code), (409, 409));
    assert!(wrong.message.contains("READER_FIELD_MISSING_DEFAULT_VALUE"));
    assert!(!r.check("a", None, &avro(&["y"])).unwrap().is_empty());
    assert!(
        !r.check("a", Some(VersionChoice::Latest), &avro(&["y"]))
            .unwrap()
            .is_empty()
    );
    assert!(
        r.check("new", Some(VersionChoice::Latest), &avro(&["y"]))
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        code(r.check("a", Some(VersionChoice::Number(7)), &avro(&["y"]))),
        40402
    );
    assert_eq!(r.level(), Level::Backward);
    assert_eq!(code(r.level_of("a", false)), 40408);
    r.set_level(Some("a"), Some(Level::Forward)).unwrap();
    assert_eq!(r.level_of("a", false), Ok(Level::Forward));
    r.register("a", &avro(&["x", "y"]), false).unwrap();
    r.set_level(None, Some(Level::None)).unwrap();
    assert_eq!(r.set_level(Some("a"), None), Ok(Level::Forward));
    assert_eq!(r.level_of("a", true), Ok(Level::None));
    assert_eq!(code(r.set_level(Some("a"), None)), 40401);
    r.register("a", &of(SchemaKind::Json, "{}"), false).unwrap();
    for (text, choice) in [
        ("latest", VersionChoice::Latest),
        ("-1", VersionChoice::Latest),
        ("7", VersionChoice::Number(7)),
    ] {
        assert_eq!(VersionChoice::parse(text), Ok(choice));
    }
    for text in ["0", "-2", "x", "", "2147483648", "99999999999"] {
        assert_eq!(code(VersionChoice::parse(text)), 42202);
    }
}

#[test]
fn deleting_is_first_soft_then_for_ever() {
    let (_dir, r) = fresh();
    let two = || [avro(&["x"]), avro(&[])];
    for schema in two() {
        r.register("a", &schema, false).unwrap();
    }
    let one = VersionChoice::Number(1);
    assert_eq!(code(r.delete_version("a", one, true)), 40407);
    assert_eq!(r.delete_version("a", one, false), Ok(1));
    assert_eq!(code(r.delete_version("a", one, false)), 40406);
    assert_eq!(
        code(r.delete_version("a", VersionChoice::Number(9), false)),
        40402
    );
    assert_eq!(r.versions("a", Listed::Live).unwrap(), [2]);
    assert_eq!(r.versions("a", Listed::All).unwrap(), [1, 2]);
    assert_eq!(r.versions("a", Listed::Deleted).unwrap(), [1]);
    assert!(r.subjects("", Listed::Deleted).is_empty());
    assert_eq!(code(r.version("a", one, false)), 40402);
    assert!(r.version("a", one, true).unwrap().deleted);
    assert!(
        r.schema(&SchemaId::Id(1)).is_ok(),
        "data of it may be there"
    );
    assert_eq!(r.delete_version("a", one, true), Ok(1));
    assert!(r.schema(&SchemaId::Id(1)).is_err());
    assert_eq!(code(r.delete_subject("a", true)), 40405);
    assert_eq!(r.delete_subject("a", false), Ok(vec![2]));
    assert_eq!(code(r.delete_subject("a", false)), 40404);
    assert_eq!(code(r.versions("a", Listed::Live)), 40401);
    for listed in [Listed::All, Listed::Deleted] {
        assert_eq!(r.subjects("", listed), ["a"]);
    }
    // It comes again as the next version, with its id.
    let again = r.register("a", &avro(&[]), false).unwrap();
    assert_eq!((again.version, again.schema.id), (3, 2));
    r.delete_subject("a", false).unwrap();
    assert_eq!(r.delete_subject("a", true), Ok(vec![2, 3]));
    assert!(r.subjects("", Listed::All).is_empty());
    assert_eq!(code(r.delete_subject("a", true)), 40401);
    // An id never comes again.
    assert_eq!(r.register("a", &avro(&[]), false).unwrap().schema.id, 3);
}

#[test]
fn references_are_followed_and_hold_what_they_refer_to() {
    let (_dir, r) = fresh();
    let inner = of(
        SchemaKind::Avro,
        r#"{"type":"record","name":"In","namespace":"o","fields":[{"name":"v","type":"int"}]}"#,
    );
    r.register("in", &inner, false).unwrap();
    let outer = NewSchema {
        references: vec![Reference {
            name: "o.In".into(),
            subject: "in".into(),
            version: 1,
        }],
        ..of(
            SchemaKind::Avro,
            r#"{"type":"record","name":"Out","fields":[{"name":"i","type":"o.In"}]}"#,
        )
    };
    let lost = NewSchema {
        references: Vec::new(),
        ..outer.clone()
    };
    assert_eq!(code(r.register("out", &lost, false)), 42201);
    let mut gone = outer.clone();
    gone.references[0].version = 2;
    assert_eq!(code(r.register("out", &gone, false)), 42201);
    let id = r.register("out", &outer, false).unwrap().schema.id;
    assert_eq!(r.schema(&SchemaId::Id(id)).unwrap().dependencies.len(), 1);
    assert_eq!(r.referenced_by("in", VersionChoice::Latest), Ok(vec![id]));
    assert_eq!(code(r.delete_subject("in", false)), 42206);
    assert_eq!(
        code(r.delete_version("in", VersionChoice::Latest, false)),
        42206
    );
    r.delete_subject("out", false).unwrap();
    r.delete_subject("in", false).unwrap();
}

#[test]
fn modes_forbid_and_import_keeps_ids() {
    let (_dir, r) = fresh();
    r.set_mode(Some("a"), Some(Mode::ReadOnly), false).unwrap();
    assert_eq!(code(r.register("a", &avro(&["x"]), false)), 42205);
    assert_eq!(code(r.delete_subject("a", false)), 42205);
    assert_eq!(r.set_mode(Some("a"), None, false), Ok(Mode::ReadOnly));
    assert_eq!(code(r.mode_of("a", false)), 40409);
    assert!(r.subjects("", Listed::All).is_empty());
    let import = NewSchema {
        id: Some(77),
        version: Some(5),
        ..avro(&["x"])
    };
    assert_eq!(code(r.register("a", &import, false)), 42205);
    r.set_mode(Some("a"), Some(Mode::Import), false).unwrap();
    assert_eq!(code(r.register("a", &avro(&["x"]), false)), 42205);
    let done = r.register("a", &import, false).unwrap();
    assert_eq!((done.version, done.schema.id), (5, 77));
    let taken = NewSchema {
        id: Some(77),
        ..avro(&["y"])
    };
    assert_eq!(code(r.register("a", &taken, false)), 42205);
    let taken = NewSchema {
        id: Some(78),
        version: Some(5),
        ..avro(&["y"])
    };
    assert_eq!(code(r.register("a", &taken, false)), 42205);
    assert_eq!(code(r.set_mode(None, Some(Mode::Import), false)), 42205);
    r.set_mode(None, Some(Mode::Import), true).unwrap();
    r.set_mode(None, None, false).unwrap();
    r.set_mode(Some("a"), None, false).unwrap();
    assert_eq!(r.register("b", &avro(&["z"]), false).unwrap().schema.id, 78);
}

#[derive(Debug, Clone)]
enum Op {
    Register(usize, usize),
    DeleteVersion(usize, u32, bool),
    DeleteSubject(usize, bool),
    Level(Option<usize>, Option<Level>),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0usize..3, 0usize..4).prop_map(|(s, f)| Op::Register(s, f)),
        2 => (0usize..3, 1u32..4, any::<bool>()).prop_map(|(s, v, p)| Op::DeleteVersion(s, v, p)),
        2 => (0usize..3, any::<bool>()).prop_map(|(s, p)| Op::DeleteSubject(s, p)),
        1 => (prop::option::of(0usize..3), prop::option::of(prop::sample::select(&Level::ALL[..])))
            .prop_map(|(s, l)| Op::Level(s, l)),
        1 => Just(Op::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn a_restart_finds_what_was_there(ops in prop::collection::vec(op(), 1..16)) {
        let dir = tempfile::tempdir().unwrap();
        let mut registry = open(&dir);
        let subjects = ["a", "b", "c/d é"];
        let mut given: Vec<(u32, String)> = Vec::new();
        for op in ops {
            match op {
                Op::Register(s, fields) => {
                    let schema = avro(&["x", "y", "z"][..fields]);
                    if let Ok(done) = registry.register(subjects[s], &schema, false) {
                        let id = done.schema.id;
                        prop_assert!(given.iter().all(|(i, t)| *i != id || *t == done.schema.text), "id {id} means two schemas");
                        given.push((id, done.schema.text.clone()));
                    }
                }
                Op::DeleteVersion(s, v, p) => {
                    let _ = registry.delete_version(subjects[s], VersionChoice::Number(v), p);
                }
                Op::DeleteSubject(s, p) => {
                    let _ = registry.delete_subject(subjects[s], p);
                }
                Op::Level(s, l) => {
                    let _ = registry.set_level(s.map(|s| subjects[s]), l);
                }
                Op::Restart => {
                    let before = content(&registry.now());
                    registry.engine.close();
                    drop(registry);
                    registry = open(&dir);
                    prop_assert_eq!(content(&registry.now()), before);
                }
            }
            prop_assert_eq!(content(&State::load(registry.engine.catalog())), content(&registry.now()));
            // Every version's schema is there.
            for subject in registry.now().subjects.values() {
                for version in subject.versions.values() {
                    prop_assert!(registry.now().schemas.contains_key(&version.id));
                }
            }
        }
        registry.engine.close();
    }
}

#[test]
fn a_change_that_can_not_be_made_durable_is_refused() {
    let (_dir, r) = fresh();
    r.register("a", &avro(&["x"]), false).unwrap();
    r.engine.close();
    let refused = r.register("a", &avro(&[]), false).unwrap_err();
    assert_eq!((refused.status, refused.code), (503, 50001));
}
