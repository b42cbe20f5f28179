//! The form that a client wants, from its `Accept`.

use super::reply::ApiError;
use crate::encode::Form;
use http::{HeaderMap, header};

/// What a client wants of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// An answer; a query that goes on is answered as it stands now.
    Answer(Form),
    /// Lines as JSON objects, and for a query that goes on one for each change.
    Lines,
    /// Server-sent events.
    Events,
}

impl Wanted {
    /// The form of an answer that ends.
    pub(crate) fn form(self) -> Form {
        match self {
            Wanted::Answer(form) => form,
            Wanted::Lines => Form::Lines,
            Wanted::Events => Form::Events,
        }
    }
}

/// The best known type of the `Accept` header; of several equals the first. JSON without a header.
pub(crate) fn wanted(headers: &HeaderMap) -> Result<Wanted, ApiError> {
    let mut best: Option<(f32, Wanted)> = None;
    let mut any = false;
    for value in headers.get_all(header::ACCEPT) {
        for item in value.to_str().unwrap_or("").split(',') {
            any = true;
            let mut parts = item.split(';').map(str::trim);
            let kind = parts.next().unwrap_or("").to_ascii_lowercase();
            let weight = parts
                .find_map(|p| p.strip_prefix("q="))
                .and_then(|q| q.parse().ok())
                .unwrap_or(1.0);
            let known = match kind.as_str() {
                "" | "*/*" | "application/*" | "application/json" => Wanted::Answer(Form::Json),
                "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                    Wanted::Lines
                }
                "text/csv" | "text/*" => Wanted::Answer(Form::Csv),
                "application/vnd.apache.arrow.stream" => Wanted::Answer(Form::Arrow),
                "text/event-stream" => Wanted::Events,
                _ => continue,
            };
            if weight > 0.0 && best.is_none_or(|(w, _)| weight > w) {
                best = Some((weight, known));
            }
        }
    }
    match best {
        Some((_, wanted)) => Ok(wanted),
        None if !any => Ok(Wanted::Answer(Form::Json)),
        None => Err(ApiError::new(406, "not_acceptable", "none of the accepted types is known").hint(
            "application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream and text/event-stream are",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Result<Wanted, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        wanted(&headers).map_err(|e| e.status)
    }

    #[test]
    fn the_best_known_type_wins() {
        assert_eq!(
            wanted(&HeaderMap::new()).ok(),
            Some(Wanted::Answer(Form::Json))
        );
        assert_eq!(of("*/*"), Ok(Wanted::Answer(Form::Json)));
        assert_eq!(
            of("text/html, text/csv;q=0.8, application/json;q=0.9"),
            Ok(Wanted::Answer(Form::Json))
        );
        assert_eq!(
            of("TEXT/CSV, application/json"),
            Ok(Wanted::Answer(Form::Csv))
        );
        assert_eq!(of("text/event-stream"), Ok(Wanted::Events));
        assert_eq!(of("application/x-ndjson"), Ok(Wanted::Lines));
        assert_eq!(of("image/png"), Err(406));
        assert_eq!(of("application/json;q=0"), Err(406));
    }
}
