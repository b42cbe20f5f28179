//! What a client sends.

use serde::Deserialize;

/// A text frame of a client.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    pub(crate) action: Action,
    #[serde(default)]
    pub(crate) topics: Vec<String>,
    /// The client's own name for a subscription.
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) sql: Option<String>,
    /// The database that names mean.
    #[serde(default)]
    pub(crate) db: Option<String>,
    #[serde(default)]
    pub(crate) resume: Option<Resume>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Subscribe,
    Unsubscribe,
    Ping,
    /// Rows; the frame is read once more for what they are.
    Ingest,
}

/// What a client that comes back has seen.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_that_clients_send_is_understood_word_for_word() {
        let text = r#"{"action":"subscribe","topics":["dashboard:metrics","alerts:fraud"]}"#;
        let request: Request = serde_json::from_str(text).unwrap();
        assert_eq!(request.action, Action::Subscribe);
        assert_eq!(request.topics, ["dashboard:metrics", "alerts:fraud"]);
        assert!(request.id.is_none() && request.sql.is_none());
        let text = r#"{"action":"subscribe","topics":["view:a"],"resume":{"epoch":7,"seq":9}}"#;
        let request: Request = serde_json::from_str(text).unwrap();
        assert_eq!(request.resume, Some(Resume { epoch: 7, seq: 9 }));
        assert!(serde_json::from_str::<Request>(r#"{"action":"drop"}"#).is_err());
    }
}
