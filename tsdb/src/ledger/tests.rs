use super::file::DatedKey;
use super::*;
use proptest::prelude::*;

fn advance(stream: u32, partition: &str, from: u64, next: u64) -> Advance {
    Advance {
        stream: StreamId(stream),
        partition: partition.into(),
        origin: "o".into(),
        from,
        next,
        after: None,
    }
}

fn keyed(key: u128) -> KeyedReply {
    KeyedReply {
        key,
        request: key + 1,
        reply: Bytes::from(vec![7; key as usize % 100]),
    }
}

fn request(advances: Vec<Advance>, key: Option<u128>) -> Request {
    Request {
        advances,
        keyed: key.map(keyed),
        ..Request::default()
    }
}

#[test]
fn what_was_taken_is_refused_in_flight_and_after() {
    let (ledger, mut gate) = (Ledger::default(), Gatekeeper::default());
    let mut entries = Entries::default();
    let mut admit = |gate: &mut Gatekeeper, advances, key| {
        gate.admit(&ledger, &mut request(advances, key), &mut entries)
    };
    admit(&mut gate, vec![advance(1, "p", 0, 10)], Some(1)).unwrap();
    let stale = admit(&mut gate, vec![advance(1, "p", 9, 12)], None).unwrap_err();
    assert!(
        matches!(stale, Error::TakenAlready { next: 10, .. }),
        "{stale}"
    );
    let twice = admit(&mut gate, vec![], Some(1)).unwrap_err();
    assert!(matches!(twice, Error::KeyTaken));
    // Another stream, and another partition, have places of their own; gaps are normal.
    admit(
        &mut gate,
        vec![advance(2, "p", 0, 5), advance(1, "q", 3, 4)],
        None,
    )
    .unwrap();
    admit(&mut gate, vec![advance(1, "p", 15, 16)], None).unwrap();
    ledger.publish(&entries, Lsn(1), 0);
    gate.published(&entries);
    assert!(gate.ahead.is_empty() && gate.keys.is_empty());
    let mut none = Entries::default();
    let stale = gate.admit(
        &ledger,
        &mut request(vec![advance(1, "p", 15, 20)], None),
        &mut none,
    );
    assert!(matches!(stale, Err(Error::TakenAlready { next: 16, .. })));
    let twice = gate.admit(&ledger, &mut request(vec![], Some(1)), &mut none);
    assert!(matches!(twice, Err(Error::KeyTaken)));
    assert!(none.is_empty(), "a refused request leaves nothing behind");
    assert_eq!(ledger.reply(1).unwrap().request, 2);
    assert_eq!(ledger.positions(StreamId(1)).len(), 2);
}

#[test]
fn what_the_log_refused_may_come_again() {
    let (ledger, mut gate) = (Ledger::default(), Gatekeeper::default());
    let (mut kept, mut refused) = (Entries::default(), Entries::default());
    gate.admit(
        &ledger,
        &mut request(vec![advance(1, "p", 0, 10)], Some(1)),
        &mut kept,
    )
    .unwrap();
    let mut next = request(vec![advance(1, "p", 10, 20)], Some(2));
    gate.admit(&ledger, &mut next, &mut refused).unwrap();
    gate.reset([&kept].into_iter());
    let mut again = request(vec![advance(1, "p", 10, 20)], Some(2));
    gate.admit(&ledger, &mut again, &mut refused).unwrap();
    let mut stale = request(vec![advance(1, "p", 0, 10)], None);
    assert!(gate.admit(&ledger, &mut stale, &mut kept).is_err());
}

#[test]
fn what_follows_a_refused_request_is_refused_too() {
    let (ledger, mut gate) = (Ledger::default(), Gatekeeper::default());
    let (mut kept, mut refused) = (Entries::default(), Entries::default());
    let mut follows = |gate: &mut Gatekeeper, from, next, after| {
        let one = Advance {
            after: Some(after),
            ..advance(1, "p", from, next)
        };
        gate.admit(&ledger, &mut request(vec![one], None), &mut refused)
    };
    gate.admit(
        &ledger,
        &mut request(vec![advance(1, "p", 0, 10)], None),
        &mut kept,
    )
    .unwrap();
    follows(&mut gate, 12, 20, 10).unwrap();
    // The log had no room for that one. Room there may be by now, but not for a hole.
    gate.reset([&kept].into_iter());
    let error = follows(&mut gate, 20, 30, 20).unwrap_err();
    assert!(
        matches!(error, Error::OutOfOrder { after: 20, .. }),
        "{error}"
    );
    follows(&mut gate, 12, 30, 10).unwrap();
    // Of another stream nothing was taken at all.
    let first = Advance {
        after: Some(1),
        ..advance(2, "p", 1, 2)
    };
    let mut first = request(vec![first], None);
    assert!(gate.admit(&ledger, &mut first, &mut kept).is_err());
}

#[test]
fn keys_live_for_a_day() {
    let ledger = Ledger::default();
    let one = |key| Entries {
        keys: vec![keyed(key)],
        ..Entries::default()
    };
    ledger.publish(&one(1), Lsn(1), 0);
    ledger.publish(&one(2), Lsn(2), KEY_LIFE_NS);
    assert!(ledger.reply(1).is_some());
    ledger.publish(&one(3), Lsn(3), KEY_LIFE_NS + 1);
    assert!(ledger.reply(1).is_none() && ledger.reply(2).is_some());
}

#[test]
fn files_go_when_their_keys_are_old_or_too_many() {
    let meta = |keys, newest_ns| FileMeta { keys, newest_ns };
    let day = KEY_LIFE_NS;
    let older = [
        ("young", meta(5, day)),
        ("none", meta(0, i64::MIN)),
        ("many", meta(MAX_KEYS as u64, day)),
        ("beyond", meta(1, day)),
        ("old", meta(1, -1)),
    ];
    let gone = outlived(meta(1, day), older.into_iter(), day);
    assert_eq!(gone, ["none", "beyond", "old"]);
    assert_eq!(FileMeta::decode(&meta(3, -4).encode()), meta(3, -4));
    // What can't be read is kept.
    assert!(
        outlived(
            meta(0, 0),
            [("odd", FileMeta::decode(b"?"))].into_iter(),
            i64::MAX
        )
        .is_empty()
    );
}

fn positions() -> impl Strategy<Value = Vec<Advance>> {
    let one = (
        any::<u32>(),
        ".{0,12}",
        ".{0,5}",
        any::<u64>(),
        any::<u64>(),
    );
    let one = one.prop_map(|(stream, partition, origin, from, next)| Advance {
        stream: StreamId(stream),
        partition: partition.into(),
        origin: origin.into(),
        from,
        next,
        after: None,
    });
    proptest::collection::vec(one, 0..6)
}

fn keys() -> impl Strategy<Value = Vec<DatedKey>> {
    let one = (
        0..4u64,
        any::<u128>(),
        any::<u128>(),
        proptest::collection::vec(any::<u8>(), 0..20),
    );
    let one = one.prop_map(|(lsn, key, request, reply)| {
        let reply = Bytes::from(reply);
        (
            Lsn(lsn),
            lsn as i64 - 2,
            KeyedReply {
                key,
                request,
                reply,
            },
        )
    });
    proptest::collection::vec(one, 0..6).prop_map(|mut keys| {
        keys.sort_by_key(|k| k.0);
        keys
    })
}

proptest! {
    #[test]
    fn files_survive_and_damage_is_an_error(positions in positions(), keys in keys(), at in any::<proptest::sample::Index>()) {
        let bytes = encode_file(Lsn(9), &positions, &keys);
        let read = decode_file("f", Lsn(9), &bytes).unwrap();
        prop_assert_eq!(&read.0, &positions);
        prop_assert_eq!(&read.1, &keys);
        prop_assert!(decode_file("f", Lsn(8), &bytes).is_err());
        prop_assert!(decode_file("f", Lsn(9), &bytes[..at.index(bytes.len())]).is_err());
        let mut bad = bytes.clone();
        let bit = at.index(bytes.len() * 8);
        bad[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode_file("f", Lsn(9), &bad).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_positions(&bytes);
        let _ = decode_keys(&bytes);
        let _ = decode_file("f", Lsn(0), &bytes);
    }
}
