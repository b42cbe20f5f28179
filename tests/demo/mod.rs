//! `tidemill demo` as users treat it: started, killed, started again, ended. Each flight is in the database once.

use crate::shell::process::{Deadline, Listening};
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::Path;

/// Flights up to a time: how many, and the sum of their distances.
fn flights_until(latest: &str) -> (u64, u64) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo-data/flights-2001-01.csv.gz");
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let flights = text
        .lines()
        .skip(1)
        .take_while(|line| &line[..latest.len()] <= latest);
    flights.fold((0, 0), |(n, miles), line| {
        let distance: u64 = line.rsplit(',').next().unwrap().parse().unwrap();
        (n + 1, miles + distance)
    })
}

/// Asks until a stream has more rows than that.
fn wait_for(demo: &Listening, stream: &str, more_than: u64) -> u64 {
    let deadline = Deadline::in_seconds(120);
    loop {
        let rows = demo.number(&format!("SELECT COUNT(*) FROM {stream}"));
        if rows > more_than {
            return rows;
        }
        deadline.pause(&format!(
            "more than {more_than} rows in {stream}; it has {rows}"
        ));
    }
}

/// What the replay has written must be a prefix of the data, whole moments of it, each flight once.
fn check_flights(server: &Listening) -> u64 {
    let latest = server.rows("SELECT MAX(time) FROM flights").remove(0);
    let (flights, miles) = flights_until(&latest);
    assert_eq!(
        server.number("SELECT COUNT(*) FROM flights"),
        flights,
        "until {latest}"
    );
    assert_eq!(
        server.number("SELECT SUM(distance) FROM flights"),
        miles,
        "until {latest}"
    );
    assert_eq!(
        server.number("SELECT SUM(flights) FROM flights_per_minute"),
        flights,
        "until {latest}"
    );
    flights
}

#[test]
fn killed_and_started_again_it_goes_on_with_nothing_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let options = ["--speed", "5000", "--purchases-per-second", "200"];

    let demo = Listening::start("demo", &data, &options);
    let first = wait_for(&demo, "flights", 500);
    let bought = wait_for(&demo, "purchases", 50);
    let (_, status) = demo.end("KILL");
    assert!(!status.success());

    let demo = Listening::start("demo", &data, &options);
    let second = wait_for(&demo, "flights", first + 500);
    wait_for(&demo, "purchases", bought);
    wait_for(&demo, "host_samples", 0);
    let (said, status) = demo.end("INT");
    assert!(status.success(), "{said}");

    let server = Listening::start("serve", &data, &["--log", "error"]);
    let flights = check_flights(&server);
    assert!(flights >= second, "{flights} of {second} flights");
    // Its last line tells how many there are in all.
    let last = said.lines().last().unwrap();
    assert!(last.contains(&format!("; {flights} flights in ")), "{last}");
    // Purchases belong to the moment: what the killed run had sent is there, and what the second one says it wrote.
    let written = |what: &str| -> u64 {
        let before = last.split(what).next().unwrap();
        before.split_whitespace().last().unwrap().parse().unwrap()
    };
    let purchases = server.number("SELECT COUNT(*) FROM purchases");
    assert!(
        purchases >= bought + written(" purchases"),
        "{purchases} of {bought} and more: {last}"
    );
    let samples = server.number("SELECT COUNT(*) FROM host_samples");
    assert!(samples >= written(" host samples"), "{samples}: {last}");
}

#[test]
fn fraudsters_stand_out_and_honest_users_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let options = [
        "--no-flights",
        "--no-host",
        "--purchases-per-second",
        "50",
        "--fraudsters",
        "40",
    ];
    let demo = Listening::start("demo", &dir.path().join("data"), &options);
    // With forty of them some are on a spree at any time.
    wait_for(&demo, "fraud", 0);
    let users = demo.rows("SELECT DISTINCT user_id FROM fraud");
    assert!(
        users
            .iter()
            .all(|user| user.parse::<u64>().unwrap() >= 9_000),
        "{users:?}"
    );
    let again =
        demo.number("SELECT COUNT(*) FROM fraud WHERE purchase_count < 5 OR city_count < 3");
    assert_eq!(again, 0);
    let (said, status) = demo.end("TERM");
    assert!(status.success(), "{said}");
}

#[test]
fn at_the_end_of_the_flights_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let options = ["--speed", "1000000000", "--no-purchases", "--no-host"];
    let demo = Listening::start("demo", &data, &options);
    let all = flights_until("9999").0;
    wait_for(&demo, "flights", all - 1);
    assert_eq!(check_flights(&demo), all);
    let (said, status) = demo.end("INT");
    assert!(status.success() && said.contains("are through"), "{said}");
    // Started again, there is nothing left to replay, and nothing is replayed twice.
    let demo = Listening::start("demo", &data, &options);
    assert_eq!(check_flights(&demo), all);
    assert!(demo.end("INT").1.success());
}

#[test]
fn a_signal_while_the_data_is_being_opened_is_an_orderly_end() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let quiet = &["--log", "error"][..];
    for (command, name, log) in [
        ("demo", "INT", &[][..]),
        ("demo", "TERM", &[]),
        ("serve", "INT", quiet),
    ] {
        for _ in 0..3 {
            // It listens before it opens, and says so.
            let started = Listening::begin("127.0.0.1:0", command, &data, log);
            let (said, status) = started.end(name);
            assert!(status.success(), "{command} after {name}: {status}: {said}");
        }
    }
    let server = Listening::start("serve", &data, &["--log", "error"]);
    assert_eq!(server.number("SELECT 1"), 1);
}
