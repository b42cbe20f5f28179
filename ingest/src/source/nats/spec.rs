//! What a stream's options say of NATS.

use crate::source::Start;
use async_nats::ConnectOptions;
use tsdb::Stream;

/// A source of a JetStream stream, as declared.
#[derive(Clone, Debug)]
pub struct NatsSpec {
    /// Servers, with commas between.
    pub url: String,
    /// The stream; without one, that which holds the subject.
    pub stream: Option<String>,
    /// Subjects that are read, wildcards among them; all without any.
    pub subjects: Vec<String>,
    /// Where a stream begins that was never read.
    pub start: Start,
    /// JetStream's domain.
    pub domain: Option<String>,
    /// Who we are, and how the connection is encrypted.
    settings: Vec<(String, String)>,
}

const SETTINGS: &[&str] = &[
    "user",
    "password",
    "token",
    "tls",
    "tls_first",
    "ca_file",
    "cert_file",
    "key_file",
    "name",
    "domain",
    "inbox_prefix",
];

impl NatsSpec {
    /// What the stream's options declare; `None` when they name neither a stream nor a subject, or when no server is
    /// known. `url` is the configuration's; a stream's own goes before it.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub fn of(stream: &Stream, url: Option<&str>) -> Result<Option<NatsSpec>, String> {
        let option = |name: &str| stream.options.kept(name);
        let name = option("nats_stream").map(|n| n.trim().to_owned());
        let subjects: Vec<String> = option("nats_subject")
            .unwrap_or_default()
            .split(',')
            .map(|s| s.trim().to_owned())
            .filter(|s| !s.is_empty())
            .collect();
        if name.is_none() && subjects.is_empty() {
            return Ok(None);
        }
        let Some(url) = option("nats_url").or(url) else {
            return Ok(None);
        };
        if let Some(name) = &name
            && (name.is_empty() || name.contains(|c: char| c.is_whitespace() || ".*>".contains(c)))
        {
            return Err(format!("nats_stream is the name of a stream, not '{name}'"));
        }
        if let Some(bad) = subjects.iter().find(|s| !is_subject(s)) {
            return Err(format!("'{bad}' in nats_subject is no subject"));
        }
        for server in servers(url) {
            server
                .parse::<async_nats::ServerAddr>()
                .map_err(|e| format!("nats_url: {e}"))?;
        }
        let own = stream.options.extra.iter();
        let settings: Vec<(String, String)> = own
            .filter_map(|(name, value)| {
                Some((name.strip_prefix("nats.")?.to_owned(), value.clone()))
            })
            .collect();
        for (name, value) in &settings {
            if !SETTINGS.contains(&name.as_str()) {
                let known = SETTINGS.join(", ");
                return Err(format!("nats.{name} is not known; there are {known}"));
            }
            if name.starts_with("tls") && !["true", "false"].contains(&value.as_str()) {
                return Err(format!("nats.{name} is true or false, not '{value}'"));
            }
        }
        let spec = NatsSpec {
            url: url.into(),
            stream: name,
            subjects,
            start: option("nats_start")
                .map_or(Ok(Start::Earliest), |t| Start::parse("nats_start", t))?,
            domain: None,
            settings,
        };
        for (one, other) in [("user", "password"), ("cert_file", "key_file")] {
            if spec.setting(one).is_some() != spec.setting(other).is_some() {
                return Err(format!("nats.{one} and nats.{other} belong together"));
            }
        }
        Ok(Some(NatsSpec {
            domain: spec.setting("domain").map(str::to_owned),
            ..spec
        }))
    }

    fn setting(&self, name: &str) -> Option<&str> {
        let mut all = self.settings.iter().rev();
        all.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The addresses of the servers.
    pub(super) fn servers(&self) -> Vec<String> {
        servers(&self.url).map(str::to_owned).collect()
    }

    /// How to connect.
    pub(super) fn connect_options(&self) -> ConnectOptions {
        let is = |name: &str| self.setting(name) == Some("true");
        let mut options = ConnectOptions::new()
            .name(self.setting("name").unwrap_or("tidemill"))
            .require_tls(is("tls"));
        if is("tls_first") {
            options = options.tls_first();
        }
        if let (Some(user), Some(password)) = (self.setting("user"), self.setting("password")) {
            options = options.user_and_password(user.into(), password.into());
        }
        if let Some(token) = self.setting("token") {
            options = options.token(token.into());
        }
        if let Some(file) = self.setting("ca_file") {
            options = options.add_root_certificates(file.into());
        }
        if let (Some(cert), Some(key)) = (self.setting("cert_file"), self.setting("key_file")) {
            options = options.add_client_certificate(cert.into(), key.into());
        }
        if let Some(prefix) = self.setting("inbox_prefix") {
            options = options.custom_inbox_prefix(prefix);
        }
        options
    }

    /// For people: servers, stream and subjects, without passwords.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let shown = servers(&self.url).map(without_user);
        let mut text = shown.collect::<Vec<_>>().join(",");
        for part in self.stream.iter().chain(&self.subjects) {
            text.push(' ');
            text.push_str(part);
        }
        text
    }
}

fn servers(url: &str) -> impl Iterator<Item = &str> {
    url.split(',').map(str::trim).filter(|u| !u.is_empty())
}

/// An address without the user and password that it may hold.
pub(in crate::source) fn without_user(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}{host}")
}

/// Whether a text is a subject: words with dots between; `*` is any word, `>` at the end is any words.
fn is_subject(text: &str) -> bool {
    let words: Vec<&str> = text.split('.').collect();
    let last = words.len() - 1;
    words.iter().enumerate().all(|(i, word)| {
        let plain =
            !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control());
        plain && (*word != ">" || i == last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[(&str, &str)]) -> Result<Option<NatsSpec>, String> {
        let catalog = tsdb::Catalog::default();
        let extra = options.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        let def = tsdb::StreamDef {
            options: tsdb::StreamOptions {
                extra: extra.collect(),
                ..tsdb::StreamOptions::default()
            },
            columns: vec![(
                "time".into(),
                tsdb::types::DataType::Timestamp,
                tsdb::types::Role::Time,
            )],
        };
        let stream = catalog.create_stream("default", "s", &def).unwrap();
        NatsSpec::of(&stream, Some("nats://a:4222, nats://u:p@b:4223"))
    }

    #[test]
    fn options_are_read_or_refused() {
        assert!(of(&[]).unwrap().is_none());
        let spec = of(&[
            ("nats_stream", "ORDERS"),
            ("nats_subject", "orders.*.eu, audit.>"),
            ("nats_start", "2026-01-31T08:00:00Z"),
            ("nats.token", "secret"),
            ("nats.domain", "hub"),
        ])
        .unwrap()
        .unwrap();
        assert_eq!(spec.subjects, ["orders.*.eu", "audit.>"]);
        assert_eq!(spec.start, Start::Time(1_769_846_400_000_000_000));
        assert_eq!(spec.domain.as_deref(), Some("hub"));
        assert_eq!(
            spec.endpoint(),
            "nats://a:4222,nats://b:4223 ORDERS orders.*.eu audit.>"
        );
        for bad in [
            ("nats_stream", "a.b"),
            ("nats_subject", "a..b"),
            ("nats_subject", "a.>.b"),
            ("nats_subject", "a b"),
            ("nats_start", "soon"),
            ("nats_url", "http://x"),
            ("nats.creds", "x"),
            ("nats.tls", "yes"),
            ("nats.user", "u"),
        ] {
            let result = of(&[("nats_stream", "S"), bad]);
            assert!(result.is_err(), "{bad:?}");
        }
    }
}
