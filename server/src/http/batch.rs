//! A batch of rows that does not come as a request's body: the same decoders, checks and commit.

use super::ingest::{self, Form, OnRefusal, RowRefused, Taken};
use super::keys::{self, Asked, Begun};
use super::reply;
use super::{Accepted, ApiError, App, Turn};
use ::ingest::decode::json::JsonFormat;
use ::ingest::decode::line_protocol::{LineContext, refused_lines};
use ::ingest::decode::{DecodedRows, Precision, RowContext};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How a batch holds its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchForm {
    /// A list of objects.
    Json,
    /// An object a line.
    NdJson,
    Csv,
    /// Line protocol, whose lines name their streams.
    Lines,
}

/// Rows, and where they go.
pub(crate) struct Batch<'a> {
    pub(crate) db: &'a str,
    pub(crate) stream: Option<&'a str>,
    pub(crate) create: bool,
    pub(crate) precision: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) form: BatchForm,
    pub(crate) data: &'a [u8],
}

/// A batch that is decoded, or was stored before.
pub(crate) enum Prepared {
    New(Box<Taken>, Option<Turn>),
    Repeat(Accepted),
}

/// Decodes a batch, as soon as there is room for its rows.
pub(crate) async fn prepare(app: &App, batch: &Batch<'_>) -> Result<Prepared, ApiError> {
    let mut turn = None;
    if let Some(key) = batch.key {
        let flags = [batch.form as u8, batch.create.into()];
        let parts = [
            batch.db.as_bytes(),
            batch.stream.unwrap_or("").as_bytes(),
            batch.precision.unwrap_or("").as_bytes(),
            &flags,
            batch.data,
        ];
        match keys::wait(app, Asked::new(super::WS_PATH, key, &parts)?).await? {
            Begun::Repeat(kept) => {
                let accepted = keys::read(&kept, |a: &mut Accepted, lsn| a.lsn = lsn)?;
                return Ok(Prepared::Repeat(accepted));
            }
            Begun::First(first) => turn = Some(first),
        }
    }
    ingest::admit(app).await?;
    let bytes = batch.data.len();
    let taken = match batch.form {
        BatchForm::Lines => lines(app, batch)?,
        BatchForm::Json => rows(app, batch, Form::Json(JsonFormat::Document))?,
        BatchForm::NdJson => rows(app, batch, Form::Json(JsonFormat::Lines))?,
        BatchForm::Csv => rows(app, batch, Form::Csv)?,
    };
    app.metrics
        .bytes_received
        .fetch_add(bytes as u64, Ordering::Relaxed);
    Ok(Prepared::New(Box::new(taken), turn))
}

fn rows(app: &App, batch: &Batch<'_>, form: Form) -> Result<Taken, ApiError> {
    let name = batch
        .stream
        .ok_or_else(|| ApiError::bad("a batch names its \"stream\""))?;
    let stream = ingest::stream(app, batch.db, name, batch.create, form, batch.data)?;
    crate::shedding::admit(app, &stream)?;
    let ctx = RowContext {
        unit: batch.precision.map(ingest::unit).transpose()?,
        ..RowContext::new(stream, app.engine.clock().wall_ns())
    };
    Ok(ingest::decode(app, &ctx, form, batch.data)?)
}

fn lines(app: &App, batch: &Batch<'_>) -> Result<Taken, ApiError> {
    let precision = match batch.precision {
        None => Precision::Nanos,
        Some(name) => Precision::of_influx(name)
            .ok_or_else(|| ApiError::bad(format!("precision \"{name}\" is not known")))?,
    };
    reply::database(app, batch.db)?;
    let ctx = LineContext {
        catalog: app.engine.catalog(),
        db: batch.db,
        precision,
        now_ns: app.engine.clock().wall_ns(),
    };
    let mut decoded = app.lines.decode(batch.data, &ctx)?;
    let letters = refused_lines(batch.data, &decoded, &ctx);
    decoded.rows.extend(letters);
    let shed = crate::shedding::shed(app, &mut decoded.rows)?;
    let told = decoded.errors.iter().map(|e| RowRefused {
        row: Some(e.line),
        reason: e.reason.to_string(),
    });
    Ok(Taken {
        told: told.collect(),
        letters: Ok(None),
        good: DecodedRows {
            rows: decoded.rows,
            accepted: decoded.accepted.saturating_sub(shed.rows()),
            rejected: decoded.rejected,
        },
        shed,
    })
}

impl Prepared {
    /// Hands the rows to the log, at once. The future is ready when they are durable and visible.
    ///
    /// # Errors
    /// When the reply can't be kept under the key.
    pub(crate) fn submit(
        self,
        app: &Arc<App>,
        arrived: Instant,
    ) -> Result<impl Future<Output = Result<(Accepted, bool), ApiError>> + Send + use<>, ApiError>
    {
        let (stored, known) = match self {
            Prepared::Repeat(accepted) => (None, Some(accepted)),
            Prepared::New(taken, turn) => (
                Some(taken.submit(app, turn, arrived, OnRefusal::Refuse)?),
                None,
            ),
        };
        Ok(async move {
            match (stored, known) {
                (Some(stored), _) => Ok((stored.await?, false)),
                (None, Some(accepted)) => Ok((accepted, true)),
                // Invariant: it is either stored now or was before.
                (None, None) => Err(super::sql::internal("a batch was neither new nor known")),
            }
        })
    }
}
