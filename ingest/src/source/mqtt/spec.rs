//! What a stream's options say of MQTT.

use crate::source::MAX_MESSAGE_BYTES;
use rumqttc::MqttOptions;
use std::time::Duration;
use tsdb::Stream;

/// A source of MQTT topics, as declared.
#[derive(Clone, Debug)]
pub struct MqttSpec {
    /// The broker's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Topics, wildcards among them.
    pub topics: Vec<String>,
    user: Option<String>,
    password: Option<String>,
    client_id: Option<String>,
}

const SETTINGS: &[&str] = &["user", "password", "client_id"];
/// How often the broker hears of us at least.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Bytes of a packet besides the payload: topic, lengths.
const AROUND: usize = 128 << 10;

impl MqttSpec {
    /// What the stream's options declare; `None` when they name no topic, or when no broker is known. `url` is the
    /// configuration's; a stream's own goes before it.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub fn of(stream: &Stream, url: Option<&str>) -> Result<Option<MqttSpec>, String> {
        let option = |name: &str| stream.options.kept(name);
        let Some(topics) = option("mqtt_topic") else {
            return Ok(None);
        };
        let topics: Vec<String> = topics
            .split(',')
            .map(|t| t.trim().to_owned())
            .filter(|t| !t.is_empty())
            .collect();
        if topics.is_empty() {
            return Err("mqtt_topic names no topic".into());
        }
        if let Some(bad) = topics.iter().find(|t| !rumqttc::valid_filter(t)) {
            return Err(format!("'{bad}' in mqtt_topic is no topic"));
        }
        let Some(url) = option("mqtt_url").or(url) else {
            return Ok(None);
        };
        for (name, _) in &stream.options.extra {
            if let Some(name) = name.strip_prefix("mqtt.")
                && !SETTINGS.contains(&name)
            {
                let known = SETTINGS.join(", ");
                return Err(format!("mqtt.{name} is not known; there are {known}"));
            }
        }
        let address = Address::parse(url)?;
        let setting = |name: &str| option(&format!("mqtt.{name}")).map(str::to_owned);
        let client_id = setting("client_id");
        if client_id.as_ref().is_some_and(|id| id.trim().is_empty()) {
            return Err("mqtt.client_id is empty".into());
        }
        Ok(Some(MqttSpec {
            host: address.host.into(),
            port: address.port,
            topics,
            user: setting("user").or(address.user.map(str::to_owned)),
            password: setting("password").or(address.password.map(str::to_owned)),
            client_id,
        }))
    }

    /// For people: broker and topics.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let MqttSpec { host, port, .. } = self;
        format!("{host}:{port} {}", self.topics.join(", "))
    }

    /// How to connect. With `clean` the broker forgets whatever it keeps for us.
    pub(super) fn connect_options(&self, own_id: &str, clean: bool) -> MqttOptions {
        let id = self.client_id.as_deref().unwrap_or(own_id);
        let mut options = MqttOptions::new(id, &self.host, self.port);
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_session(clean)
            .set_manual_acks(true)
            .set_max_packet_size(MAX_MESSAGE_BYTES + AROUND, AROUND);
        if let Some(user) = &self.user {
            options.set_credentials(user, self.password.as_deref().unwrap_or_default());
        }
        options
    }
}

/// The parts of `mqtt://user:password@host:1883`.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    host: &'a str,
    port: u16,
    user: Option<&'a str>,
    password: Option<&'a str>,
}

impl Address<'_> {
    fn parse(url: &str) -> Result<Address<'_>, String> {
        let rest = match url.trim().split_once("://") {
            None => url.trim(),
            Some(("mqtt" | "tcp", rest)) => rest,
            Some((scheme, _)) => {
                return Err(format!(
                    "mqtt_url is mqtt://host:port; {scheme}:// is not spoken here (encrypted connections need a proxy)"
                ));
            }
        };
        let rest = rest.trim_end_matches('/');
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let bad = || format!("mqtt_url is mqtt://host:port, not '{place}'");
        let (host, port) = match place.rsplit_once(':') {
            // An address of IPv6 stands in brackets.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (place, 1883),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains('/') {
            return Err(bad());
        }
        let (user, password) = match login.map(|l| l.split_once(':').unwrap_or((l, ""))) {
            Some((user, password)) => (Some(user), Some(password)),
            None => (None, None),
        };
        Ok(Address {
            host,
            port,
            user,
            password,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let of = |url| Address::parse(url).map(|a| (a.host, a.port, a.user, a.password));
        assert_eq!(of("mqtt://h"), Ok(("h", 1883, None, None)));
        assert_eq!(of("h:1884"), Ok(("h", 1884, None, None)));
        assert_eq!(of("tcp://[::1]:9/"), Ok(("::1", 9, None, None)));
        assert_eq!(of("mqtt://[::1]"), Ok(("::1", 1883, None, None)));
        let with_login = of("mqtt://u:p@:w@h:1");
        assert_eq!(with_login, Ok(("h", 1, Some("u"), Some("p@:w"))));
        for bad in ["mqtts://h", "mqtt://", "h:x", "h:70000", "mqtt://h/x"] {
            let why = of(bad).unwrap_err();
            assert!(why.contains("mqtt_url"), "{bad}: {why}");
        }
        assert!(!of("mqtt://u:secret@h:x").unwrap_err().contains("secret"));
    }

    #[test]
    fn options_are_read_or_refused() {
        let of = |options: &[(&str, &str)]| {
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
            MqttSpec::of(&stream, Some("mqtt://h"))
        };
        assert!(of(&[]).unwrap().is_none());
        let spec = of(&[("mqtt_topic", "a/+/c, d/#"), ("mqtt.user", "u")]);
        let spec = spec.unwrap().unwrap();
        assert_eq!(spec.endpoint(), "h:1883 a/+/c, d/#");
        assert_eq!(spec.connect_options("own", false).client_id(), "own");
        for bad in [
            ("mqtt_topic", "a/#/b"),
            ("mqtt_topic", ","),
            ("mqtt.qos", "2"),
            ("mqtt.client_id", " "),
        ] {
            assert!(of(&[("mqtt_topic", "a"), bad]).is_err(), "{bad:?}");
        }
    }
}
