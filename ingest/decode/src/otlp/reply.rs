//! The two forms of OTLP over HTTP, and bodies of replies in them.

use crate::metric::text::push_string;
use prost::encoding::{bytes, int32, int64, string};

/// The two forms of OTLP over HTTP; a reply has the form of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Form {
    /// The content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Protobuf => "application/x-protobuf",
            Form::Json => "application/json",
        }
    }
}

/// An `ExportMetricsServiceResponse`: nothing when all was kept, else how many points were refused and why.
#[must_use]
pub fn accepted(form: Form, rejected: usize, why: &str) -> Vec<u8> {
    let rejected = i64::try_from(rejected).unwrap_or(i64::MAX);
    if rejected == 0 && why.is_empty() {
        return match form {
            Form::Protobuf => Vec::new(),
            Form::Json => b"{}".to_vec(),
        };
    }
    match form {
        Form::Protobuf => {
            let mut partial = Vec::new();
            int64::encode(1, &rejected, &mut partial);
            string::encode(2, &why.to_owned(), &mut partial);
            let mut out = Vec::new();
            bytes::encode(1, &partial, &mut out);
            out
        }
        Form::Json => {
            let mut out = format!(
                "{{\"partialSuccess\":{{\"rejectedDataPoints\":\"{rejected}\",\"errorMessage\":"
            );
            push_string(why, &mut out);
            out.push_str("}}");
            out.into_bytes()
        }
    }
}

/// A `google.rpc.Status` with one of its codes.
#[must_use]
pub fn failed(form: Form, code: i32, why: &str) -> Vec<u8> {
    match form {
        Form::Protobuf => {
            let mut out = Vec::new();
            int32::encode(1, &code, &mut out);
            string::encode(2, &why.to_owned(), &mut out);
            out
        }
        Form::Json => {
            let mut out = format!("{{\"code\":{code},\"message\":");
            push_string(why, &mut out);
            out.push('}');
            out.into_bytes()
        }
    }
}
