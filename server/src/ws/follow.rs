//! One subscription: what it follows, from the first frame to the last.

use super::dashboard::TOPIC as DASHBOARD;
use super::frames::{self, Label, Shared};
use super::request::Resume;
use crate::http::{ApiError, App, session};
use axum::extract::ws::Utf8Bytes;
use query::bind::windowed::ContinuousQuery;
use query::lang::ast::StatementKind;
use query::view::{Frame, Subscription};
use query::{Output, QueryError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often a subscriber hears that a topic lives.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Where frames go: one connection's queue, which makes its subscriptions wait when it is full.
pub(super) type Queue = mpsc::Sender<Utf8Bytes>;

/// The connection has ended: there is nobody to tell.
struct Gone;

async fn send(app: &App, queue: &Queue, texts: &[Utf8Bytes]) -> Result<(), Gone> {
    for text in texts {
        queue.send(text.clone()).await.map_err(|_| Gone)?;
        app.metrics.frames_sent.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Follows a topic until the connection ends.
pub(super) async fn topic(
    app: Arc<App>,
    topic: String,
    db: String,
    resume: Option<Resume>,
    queue: Queue,
) {
    let label = Label {
        topic: topic.clone(),
        id: None,
    };
    let ended = if topic == DASHBOARD {
        dashboard(&app, &queue).await
    } else if let Some(name) = topic.strip_prefix("view:") {
        view(&app, &label, name, &db, resume, &queue).await
    } else if topic.starts_with("alerts:") {
        alerts(&app, &label, &queue).await
    } else {
        let error = ApiError::new(
            404,
            "unknown_topic",
            format!("no topic is named \"{topic}\""),
        )
        .hint("topics are view:NAME, dashboard:metrics and alerts:NAME");
        send(
            &app,
            &queue,
            &[frames::error(Some(&topic), None, &error.to_json())],
        )
        .await
    };
    if ended.is_err() {
        tracing::trace!(topic, "a subscriber has gone");
    }
}

async fn dashboard(app: &App, queue: &Queue) -> Result<(), Gone> {
    let (first, mut rows) = app.dashboard.follow();
    send(app, queue, &first).await?;
    loop {
        match rows.recv().await {
            Ok(text) => send(app, queue, &[text]).await?,
            Err(broadcast::error::RecvError::Lagged(_)) => {
                let (first, anew) = app.dashboard.resync();
                rows = anew;
                send(app, queue, &first).await?;
            }
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

/// No alert is raised yet: the topic is there and stays silent but for its heartbeat.
async fn alerts(app: &App, label: &Label, queue: &Queue) -> Result<(), Gone> {
    let seq = app.engine.published().0;
    let notice = format!(
        "\"{}\" is accepted; nothing raises alerts so far",
        label.topic
    );
    send(
        app,
        queue,
        &[frames::subscribed(
            label,
            &arrow::datatypes::Schema::empty(),
            0,
            seq,
            &[notice],
        )],
    )
    .await?;
    loop {
        tokio::time::sleep(HEARTBEAT * 5).await;
        send(
            app,
            queue,
            &[frames::heartbeat(label, app.engine.published().0, None)],
        )
        .await?;
    }
}

/// A view's database and name, as `name` or `database.name`.
fn lookup(app: &App, name: &str, db: &str) -> Option<(String, String)> {
    use query::Views;
    let list = app.views.list();
    let find = |db: &str, name: &str| {
        let exact = list.iter().find(|v| v.db == db && v.name == name);
        let found = exact.or_else(|| {
            let mut alike = list
                .iter()
                .filter(|v| v.db == db && v.name.eq_ignore_ascii_case(name));
            alike.next().filter(|_| alike.next().is_none())
        });
        found.map(|v| (v.db.clone(), v.name.clone()))
    };
    find(db, name).or_else(|| name.split_once('.').and_then(|(db, name)| find(db, name)))
}

async fn view(
    app: &Arc<App>,
    label: &Label,
    name: &str,
    db: &str,
    mut resume: Option<Resume>,
    queue: &Queue,
) -> Result<(), Gone> {
    let mut changed = app.catalog_changed.subscribe();
    let mut told = false;
    loop {
        changed.mark_unchanged();
        let subscription = lookup(app, name, db)
            .and_then(|(db, name)| app.views.subscribe(&db, &name, false).ok());
        if let Some(subscription) = subscription {
            let shared = app
                .topics
                .of(&format!("{db}\0{}\0{}", label.topic, subscription.epoch()));
            let reason = run(
                app,
                label,
                subscription,
                &[],
                resume.take(),
                Some(&shared),
                queue,
            )
            .await?;
            // Redefined: the new view has the name already.
            if lookup(app, name, db).is_none() {
                return send(app, queue, &[frames::closing(label, &reason)]).await;
            }
            send(
                app,
                queue,
                &[frames::gap(label, 0, app.engine.published().0, &reason)],
            )
            .await?;
            told = true;
            continue;
        }
        if !told {
            told = true;
            let notice =
                format!("there is no view \"{name}\" yet; this subscription starts when there is");
            let seq = app.engine.published().0;
            send(
                app,
                queue,
                &[frames::subscribed(
                    label,
                    &arrow::datatypes::Schema::empty(),
                    0,
                    seq,
                    &[notice],
                )],
            )
            .await?;
        }
        tokio::select! {
            woken = changed.changed() => if woken.is_err() { return Ok(()) },
            // A connection that is silent for long is cut by what stands between.
            _ = tokio::time::sleep(HEARTBEAT * 5) => {
                send(app, queue, &[frames::heartbeat(label, app.engine.published().0, None)]).await?;
            }
        }
    }
}

/// Hands on a subscription's frames until it ends, and gives the reason.
async fn run(
    app: &App,
    label: &Label,
    mut subscription: Subscription,
    notices: &[String],
    mut resume: Option<Resume>,
    shared: Option<&Shared>,
    queue: &Queue,
) -> Result<String, Gone> {
    let epoch = subscription.epoch();
    let mut heartbeat = interval_at(Instant::now() + Duration::from_millis(500), HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut begun = false;
    loop {
        let frame = tokio::select! {
            frame = subscription.next() => frame,
            _ = heartbeat.tick(), if begun => {
                // The number is read before the queue is looked at: what it covers has been queued by then.
                let seq = subscription.seq();
                match subscription.try_next() {
                    Some(frame) => Some(frame),
                    None => {
                        send(app, queue, &[frames::heartbeat(label, seq, subscription.watermark())]).await?;
                        continue;
                    }
                }
            }
        };
        let Some(frame) = frame else {
            return Ok("the subscription has ended".into());
        };
        let (mut texts, mut seen) = (Vec::new(), false);
        match frame.as_ref() {
            Frame::Closed { reason } => return Ok(reason.clone()),
            Frame::Snapshot { seq, .. } if !begun => {
                begun = true;
                texts.push(frames::subscribed(
                    label,
                    subscription.columns(),
                    epoch,
                    *seq,
                    notices,
                ));
                if let Some(resume) = resume.take() {
                    seen = resume.epoch == frames::shown_epoch(epoch) && resume.seq == *seq;
                    if !seen {
                        texts.push(frames::gap(
                            label,
                            resume.seq,
                            *seq,
                            "the changes since then are not kept; a snapshot follows",
                        ));
                    }
                }
            }
            Frame::Changes { seq, .. } => {
                app.commit_times
                    .pushed(*seq, &app.metrics.pushes, app.engine.clock().wall_ns())
            }
            _ => {}
        }
        if !seen {
            match shared {
                Some(shared) => texts.extend(shared.encode(label, epoch, &frame).iter().cloned()),
                None => texts.extend(frames::encode(label, epoch, &frame)),
            }
        }
        send(app, queue, &texts).await?;
    }
}

/// Follows a query until the connection ends.
pub(super) async fn sql(app: Arc<App>, id: String, sql: String, db: String, queue: Queue) {
    let label = Label {
        topic: id.clone(),
        id: Some(id.clone()),
    };
    let result = match subscribe(&app, &sql, &db).await {
        Ok((subscription, notices)) => {
            match run(&app, &label, subscription, &notices, None, None, &queue).await {
                Ok(reason) => send(&app, &queue, &[frames::closing(&label, &reason)]).await,
                Err(gone) => Err(gone),
            }
        }
        Err(error) => {
            send(
                &app,
                &queue,
                &[frames::error(Some(&id), Some(&id), &error.to_json())],
            )
            .await
        }
    };
    if result.is_err() {
        tracing::trace!(id, "a subscriber has gone");
    }
}

/// Subscribes to one `SELECT .. EMIT ..`; nothing else is run here.
async fn subscribe(
    app: &Arc<App>,
    sql: &str,
    db: &str,
) -> Result<(Subscription, Vec<String>), ApiError> {
    let statements =
        query::lang::parse_statements(sql).map_err(|e| ApiError::from(QueryError::from(e)))?;
    let goes_on = |s: &query::lang::ast::Statement| matches!(&s.kind, StatementKind::Query(q) if q.emit.is_some());
    if statements.len() != 1 || !statements.iter().all(goes_on) {
        return Err(ApiError::bad(
            "a subscription is one SELECT with EMIT CHANGES or EMIT FINAL",
        ));
    }
    let outputs = app
        .query
        .execute(&session(app, db), sql)
        .await
        .map_err(|(_, e)| ApiError::from(e))?;
    match outputs.into_iter().next() {
        Some(Output::Continuous {
            query,
            sql,
            notices,
        }) => Ok((attach(app, *query, sql).await?, notices)),
        _ => Err(ApiError::new(500, "internal", "the query does not go on")),
    }
}

/// Subscribes to a bound query. It reads all history first, on a thread of its own.
pub(crate) async fn attach(
    app: &Arc<App>,
    query: ContinuousQuery,
    sql: String,
) -> Result<Subscription, ApiError> {
    let views = app.views.clone();
    let subscribed = tokio::task::spawn_blocking(move || views.subscribe_query(query, &sql)).await;
    Ok(subscribed
        .map_err(|_| ApiError::new(500, "internal", "the query's operator has panicked"))??)
}
