//! What is left out first when more comes than the disk takes: rows and streams that were declared to matter less.

use crate::http::App;
use ingest::admission::Rejection;
use ingest::dead_letter;
use query::transform::Priority;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tsdb::{Catalog, Rows, Stream};

/// How often the write buffer is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How full the write buffer is when rows below a priority are left out. Below the lowest, all are taken; critical ones
/// always are, as long as there is room at all.
const STEPS: [(f64, Priority); 3] = [
    (0.97, Priority::Critical),
    (0.90, Priority::High),
    (0.80, Priority::Normal),
];
/// A step is left again when the buffer is so much emptier: rows don't come and go with each flush.
const BACK: f64 = 0.05;

/// What is left out now, given what was until now.
fn floor(fill: f64, before: Option<Priority>) -> Option<Priority> {
    let step = |fill: f64| STEPS.iter().find(|(at, _)| fill >= *at).map(|(_, p)| *p);
    // Upwards at once, downwards with delay.
    step(fill).max(step(fill + BACK).min(before))
}

/// Follows the write buffer until the server ends.
pub(crate) async fn follow(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut now = None;
    let mut clock = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = clock.tick() => {}
        }
        let next = floor(app.engine.pressure(), now);
        if next != now {
            tracing::info!(?next, "rows below this priority are left out");
            app.query.transforms().shed_below(next);
            now = next;
        }
    }
}

/// Refuses rows of a stream that matters less than what is taken now.
///
/// # Errors
/// 503, to be tried again.
pub(crate) fn admit(app: &App, stream: &Stream) -> Result<(), Rejection> {
    match floor(app.engine.pressure(), None) {
        // The stream is asked only when it matters: this is on the way of each request.
        Some(floor) if app.query.transforms().priority(stream) < floor => Err(Rejection {
            status: 503,
            code: "overloaded",
            message: format!(
                "stream \"{}\" has a low priority, and the write buffer is nearly full; retry in a moment",
                stream.name
            ),
            retry_after: Some(1),
        }),
        _ => Ok(()),
    }
}

/// Rows that were left out of a request.
#[must_use]
#[derive(Default)]
pub(crate) struct Shed(Vec<(Arc<Stream>, usize)>);

impl Shed {
    /// How many.
    pub(crate) fn rows(&self) -> usize {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Counts them, once the rest is stored: a request that is refused is sent again.
    pub(crate) fn count(&self, app: &App) {
        for (stream, count) in &self.0 {
            app.query.transforms().count_shed(stream, *count);
        }
    }
}

/// Leaves rows of such streams out of a request that has others besides.
///
/// # Errors
/// 503, to be tried again, when all its rows are of such streams.
pub(crate) fn shed(app: &App, rows: &mut Vec<Rows>) -> Result<Shed, Rejection> {
    let Some(floor) = floor(app.engine.pressure(), None) else {
        return Ok(Shed::default());
    };
    let priority = |stream: &Stream| app.query.transforms().priority(stream);
    match below(app.engine.catalog(), &priority, floor, rows) {
        Ok(shed) => Ok(Shed(shed)),
        Err(stream) => admit(app, &stream).map(|()| Shed::default()),
    }
}

/// Takes rows out whose streams matter less than `floor`, if there are others besides letters; a stream of them otherwise.
fn below(
    catalog: &Catalog,
    priority: &dyn Fn(&Stream) -> Priority,
    floor: Priority,
    rows: &mut Vec<Rows>,
) -> Result<Vec<(Arc<Stream>, usize)>, Arc<Stream>> {
    // What was refused is never lost besides.
    let is_letter = |s: &Stream| s.name == dead_letter::STREAM;
    let (mut low, mut others) = (Vec::new(), false);
    for rows in &*rows {
        if let Some(stream) = catalog.stream_by_id(rows.stream())
            && !is_letter(&stream)
        {
            match priority(&stream) < floor {
                true => low.push((stream, rows.count())),
                false => others = true,
            }
        }
    }
    if let (Some((stream, _)), false) = (low.first(), others) {
        return Err(Arc::clone(stream));
    }
    rows.retain(|rows| !low.iter().any(|(stream, _)| stream.id == rows.stream()));
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb::types::{BatchBuilder, DataType, Role};
    use tsdb::{StreamDef, StreamOptions};

    #[test]
    fn of_a_request_for_many_streams_those_that_matter_least_are_left_out() {
        let catalog = Catalog::default();
        let stream = |name: &str, priority: &str| {
            let def = StreamDef {
                columns: vec![("time".to_owned(), DataType::Timestamp, Role::Time)],
                options: StreamOptions {
                    extra: vec![("priority".to_owned(), priority.to_owned())],
                    ..StreamOptions::default()
                },
            };
            catalog.create_stream("default", name, &def).unwrap()
        };
        let (low, other) = (stream("low", "low"), stream("other", "critical"));
        let letters = stream(dead_letter::STREAM, "low");
        let rows = |stream: &Arc<Stream>, n: i64| {
            let mut rows = BatchBuilder::new(stream.id);
            (0..n).for_each(|time| rows.begin_row(time, stream.series().resolve(&[])));
            Rows::Small(rows)
        };
        let mut mixed = vec![
            rows(&low, 3),
            rows(&other, 2),
            rows(&letters, 1),
            rows(&low, 4),
        ];
        // How many rows of each were left out, or the stream that is to wait.
        let take = |floor, rows: &mut Vec<Rows>| match below(&catalog, &Priority::of, floor, rows) {
            Ok(shed) => Ok(shed.iter().map(|s| s.1).collect::<Vec<_>>()),
            Err(stream) => Err(stream.id),
        };
        assert_eq!(take(Priority::Critical, &mut mixed), Ok(vec![3, 4]));
        let left: Vec<_> = mixed.iter().map(Rows::stream).collect();
        assert_eq!(left, [other.id, letters.id]);
        // Nothing but rows that matter little, and what was refused: all of it is for later.
        let mut alone = vec![rows(&low, 3), rows(&letters, 1)];
        assert_eq!(take(Priority::Normal, &mut alone), Err(low.id));
        assert_eq!(alone.len(), 2);
        let mut none = vec![rows(&other, 1), rows(&letters, 1)];
        assert_eq!(take(Priority::Critical, &mut none), Ok(vec![]));
        assert_eq!(none.len(), 2);
    }

    #[test]
    fn what_matters_least_goes_first_and_comes_back_last() {
        let mut now = None;
        let mut at = |fill| {
            now = floor(fill, now);
            now
        };
        assert_eq!(at(0.79), None);
        assert_eq!(at(0.80), Some(Priority::Normal));
        assert_eq!(at(0.99), Some(Priority::Critical));
        assert_eq!(at(0.93), Some(Priority::Critical), "not with each flush");
        assert_eq!(at(0.91), Some(Priority::High));
        assert_eq!(at(0.76), Some(Priority::Normal));
        assert_eq!(at(0.74), None);
        assert_eq!(at(2.0), Some(Priority::Critical));
    }
}
