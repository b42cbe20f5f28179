//! Who may ask: a page from elsewhere must not reach a server on its visitor's own machine, neither with a foreign
//! `Origin` nor through a name that it has made to point here.

use http::{HeaderMap, Method, header};
use std::net::IpAddr;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the host name \"{0}\" is not known here; name it in the setting hosts")]
    Host(String),
    #[error("requests from {0} are not accepted")]
    Origin(String),
}

/// The names that are known.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    hosts: Vec<String>,
}

impl Guard {
    pub(crate) fn new(hosts: &[String]) -> Guard {
        Guard {
            hosts: hosts.iter().map(|h| h.to_ascii_lowercase()).collect(),
        }
    }

    /// Checks a request. An address can't be made to point elsewhere, so IP addresses are always known. A client
    /// without `Host` is no browser.
    pub(crate) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        let shown = |v: &header::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        let host = headers.get(header::HOST);
        if let Some(value) = host
            && !value.to_str().is_ok_and(|h| self.knows(without_port(h)))
        {
            return Err(Refused::Host(shown(value)));
        }
        if method == Method::GET || method == Method::HEAD {
            return Ok(());
        }
        self.check_origin(headers)
    }

    /// Checks that a page which asks was served from here.
    pub(crate) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        };
        let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
        let text = origin.to_str().unwrap_or("");
        let authority = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"));
        match (authority, host) {
            (Some(a), Some(h)) if a.eq_ignore_ascii_case(h) => Ok(()),
            _ => Err(Refused::Origin(
                String::from_utf8_lossy(origin.as_bytes()).into_owned(),
            )),
        }
    }

    fn knows(&self, host: &str) -> bool {
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        if bare.parse::<IpAddr>().is_ok() {
            return true;
        }
        let bare = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
        bare == "localhost" || bare.ends_with(".localhost") || self.hosts.contains(&bare)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if !name.is_empty()
                && port.bytes().all(|b| b.is_ascii_digit())
                && !name.ends_with(':') =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, host: &str, origin: Option<&str>) -> Result<(), Refused> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        Guard::new(&["Db.Example".into()]).check(&method, &headers)
    }

    #[test]
    fn known_names_pass_and_others_do_not() {
        for host in [
            "127.0.0.1:8081",
            "localhost",
            "localhost:1",
            "a.localhost:1",
            "[::1]:8081",
            "10.1.2.3",
            "DB.example:5",
            "localhost.",
        ] {
            assert_eq!(check(Method::POST, host, None), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8081",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil.example:x",
            "",
        ] {
            assert!(
                matches!(check(Method::GET, host, None), Err(Refused::Host(_))),
                "{host}"
            );
        }
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing() {
        assert_eq!(
            check(
                Method::POST,
                "localhost:8081",
                Some("http://localhost:8081")
            ),
            Ok(())
        );
        for origin in [
            "http://evil.example",
            "http://localhost:8082",
            "null",
            "file://",
            "http://localhost",
        ] {
            assert!(
                matches!(
                    check(Method::POST, "localhost:8081", Some(origin)),
                    Err(Refused::Origin(_))
                ),
                "{origin}"
            );
        }
        // Reading is no change; the browser itself keeps the reply from that page.
        assert_eq!(
            check(Method::GET, "localhost:8081", Some("http://evil.example")),
            Ok(())
        );
    }
}
