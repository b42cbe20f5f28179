//! What is left out first when more comes than the disk takes: rows and streams that were declared to matter less.

use crate::http::App;
use ingest::admission::Rejection;
use ingest::dead_letter;
use query::transform::Priority;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

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
pub(crate) fn admit(app: &App, stream: &tsdb::Stream) -> Result<(), Rejection> {
    let own = Priority::of(stream);
    match floor(app.engine.pressure(), None) {
        Some(floor) if own < floor => Err(Rejection {
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

/// Leaves rows of such streams out of a request that has others besides; they are counted.
///
/// # Errors
/// 503, to be tried again, when all rows are of such streams.
pub(crate) fn shed(app: &App, rows: &mut Vec<tsdb::Rows>) -> Result<(), Rejection> {
    let Some(floor) = floor(app.engine.pressure(), None) else {
        return Ok(());
    };
    let catalog = app.engine.catalog();
    let low = |rows: &tsdb::Rows| {
        let stream = catalog.stream_by_id(rows.stream())?;
        // What was refused is never lost besides.
        let is_low = Priority::of(&stream) < floor && stream.name != dead_letter::STREAM;
        is_low.then_some(stream)
    };
    if let Some(stream) = rows.first().and_then(low)
        && rows.iter().all(|r| low(r).is_some())
    {
        return admit(app, &stream);
    }
    rows.retain(|rows| match low(rows) {
        Some(stream) => {
            app.query.transforms().count_shed(&stream, rows.count());
            false
        }
        None => true,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
