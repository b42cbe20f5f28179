//! Ending in order.

use super::{PATIENCE, Tester};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncReadExt;

#[tokio::test(flavor = "multi_thread")]
async fn an_open_socket_is_told_before_the_server_has_ended() {
    let t = Tester::start(|_| ()).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = t.socket().await;
        socket.subscribe("dashboard:metrics").await;
        sockets.push(socket);
    }
    let Tester { server, _dir } = t;
    let stopped = tokio::time::timeout(PATIENCE, server.stop()).await;
    assert!(stopped.is_ok());
    // All was sent before `stop` returned: it is read from what the system holds.
    for mut socket in sockets {
        let read = async {
            let closing = socket.frame("closing").await;
            assert_eq!(closing["reason"], "the server is shutting down");
            assert!(socket.next().await.is_none(), "frames behind the last");
        };
        let read = tokio::time::timeout(Duration::from_secs(5), read).await;
        assert!(read.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_take_places_of_connections() {
    let t = Tester::start(|c| c.limits.connections = 2).await;
    let mut socket = t.socket().await;
    socket.subscribe("dashboard:metrics").await;
    let mut other = t.socket().await;
    other.subscribe("dashboard:metrics").await;
    assert_eq!(t.app().metrics.connections.load(Ordering::Relaxed), 2);
    // Both places are taken: a third is not served until one goes.
    let mut third = t.connect().await;
    tokio::io::AsyncWriteExt::write_all(
        &mut third,
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
    )
    .await
    .unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(300), third.read_u8()).await;
    assert!(waiting.is_err(), "it was answered");
    drop(other);
    let answered = tokio::time::timeout(PATIENCE, third.read_u8()).await;
    assert_eq!(answered.unwrap().unwrap(), b'H');
    t.server.stop().await;
}
