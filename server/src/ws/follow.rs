//! One subscription: what it follows, from the first frame to the last.

use super::dashboard::TOPIC as DASHBOARD;
use super::frames::{self, Label, Shared};
use super::request::Resume;
use crate::http::{ApiError, App, Attached, attach, session};
use arrow::datatypes::Schema;
use axum::extract::ws::Utf8Bytes;
use query::lang::ast::StatementKind;
use query::view::{Frame, Subscription};
use query::{Output, QueryError, ViewInfo, Views};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often a subscriber hears that a topic lives.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How often it hears so of a topic that has nothing to tell.
const IDLE_HEARTBEAT: Duration = Duration::from_secs(10);
/// The least time between two tries to follow a view that did not begin.
const AGAIN: Duration = Duration::from_millis(500);

/// Where frames go: one connection's queue, which makes its subscriptions wait when it is full.
pub(super) type Queue = mpsc::Sender<Utf8Bytes>;

/// The connection has ended: there is nobody to tell.
struct Gone;

/// One subscription's way to its client.
struct Line<'a> {
    app: &'a App,
    label: Label,
    queue: &'a Queue,
}

impl Line<'_> {
    async fn send(&self, text: Utf8Bytes) -> Result<(), Gone> {
        self.queue.send(text).await.map_err(|_| Gone)?;
        self.app.metrics.frames_sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Tells that a topic is followed although there is nothing there yet.
    async fn accept(&self, notice: String) -> Result<(), Gone> {
        let seq = self.app.engine.published().0;
        let columns = Schema::empty();
        let text = frames::subscribed(&self.label, &columns, 0, seq, &[notice]);
        self.send(text).await
    }

    async fn idle_heartbeat(&self) -> Result<(), Gone> {
        let seq = self.app.engine.published().0;
        self.send(frames::heartbeat(&self.label, None, seq, None))
            .await
    }

    async fn error(&self, error: &ApiError) -> Result<(), Gone> {
        let Label { topic, id } = &self.label;
        self.send(frames::error(Some(topic), id.as_deref(), &error.to_json()))
            .await
    }
}

/// Follows a topic until the connection ends.
pub(super) async fn topic(
    app: Arc<App>,
    label: Label,
    db: String,
    resume: Option<Resume>,
    queue: Queue,
) {
    let line = Line {
        app: &app,
        label,
        queue: &queue,
    };
    let topic = line.label.topic.as_str();
    let ended = if topic == DASHBOARD {
        dashboard(&line).await
    } else if let Some(name) = topic.strip_prefix("view:") {
        view(&line, name, &db, resume).await
    } else if topic.starts_with("alerts:") {
        alerts(&line).await
    } else {
        let error = ApiError::new(
            404,
            "unknown_topic",
            format!("no topic is named \"{topic}\""),
        );
        line.error(&error.hint("topics are view:NAME, dashboard:metrics and alerts:NAME"))
            .await
    };
    if ended.is_err() {
        tracing::trace!(topic, "a subscriber has gone");
    }
}

async fn dashboard(line: &Line<'_>) -> Result<(), Gone> {
    let (mut first, mut rows) = line.app.dashboard.follow();
    loop {
        for text in &first {
            line.send(line.label.named(text)).await?;
        }
        first = loop {
            match rows.recv().await {
                Ok(text) => line.send(line.label.named(&text)).await?,
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let (first, anew) = line.app.dashboard.resync();
                    rows = anew;
                    break first;
                }
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            }
        };
    }
}

/// No alert is raised yet: the topic is there and stays silent but for its heartbeat.
async fn alerts(line: &Line<'_>) -> Result<(), Gone> {
    let topic = &line.label.topic;
    line.accept(format!(
        "\"{topic}\" is accepted; nothing raises alerts so far"
    ))
    .await?;
    loop {
        tokio::time::sleep(IDLE_HEARTBEAT).await;
        line.idle_heartbeat().await?;
    }
}

/// A view, as `name` or `database.name`.
fn lookup(app: &App, name: &str, db: &str) -> Option<ViewInfo> {
    let mut list = app.views.list();
    let find = |db: &str, name: &str| {
        let exact = list.iter().position(|v| v.db == db && v.name == name);
        exact.or_else(|| {
            let alike = |v: &ViewInfo| v.db == db && v.name.eq_ignore_ascii_case(name);
            let first = list.iter().position(alike)?;
            (!list[first + 1..].iter().any(alike)).then_some(first)
        })
    };
    let found =
        find(db, name).or_else(|| name.split_once('.').and_then(|(db, name)| find(db, name)))?;
    Some(list.swap_remove(found))
}

/// Why a view does not run, if it does not: it has stopped, or its definition can't be run.
fn halted(view: &ViewInfo) -> Option<&str> {
    let runs = view.state == "running" || view.state == "lagging";
    (!runs).then_some(view.state.as_str())
}

async fn view(
    line: &Line<'_>,
    name: &str,
    db: &str,
    mut resume: Option<Resume>,
) -> Result<(), Gone> {
    let app = line.app;
    let mut changed = app.catalog_changed.subscribe();
    // What the client knows of a view that is not there, or does not run.
    let (mut told_missing, mut told_halted) = (false, String::new());
    loop {
        changed.mark_unchanged();
        let found = lookup(app, name, db);
        match &found {
            Some(view) => match halted(view) {
                Some(state) if state == told_halted => {}
                Some(state) => {
                    told_halted = state.to_owned();
                    let error = ApiError::new(
                        422,
                        "view_stopped",
                        format!("view \"{}\" is {state}", view.name),
                    );
                    line.error(&error.hint("frames follow when it is redefined"))
                        .await?;
                    line.send(frames::closing(&line.label, None, state)).await?;
                }
                None => {
                    let (begun, epoch, reason) = run_view(line, view, resume.take()).await?;
                    let now = lookup(app, name, db);
                    match &now {
                        None => {
                            let closing = frames::closing(&line.label, epoch, &reason);
                            return line.send(closing).await;
                        }
                        // The next turn tells why.
                        Some(view) if halted(view).is_some() => {}
                        // Redefined: the new view has the name already.
                        Some(_) if begun => {
                            let to = app.engine.published().0;
                            let gap = frames::gap(&line.label, epoch, 0, to, &reason);
                            line.send(gap).await?;
                            told_missing = true;
                        }
                        // It ended before it began: about to be replaced, or to stop.
                        Some(_) => tokio::time::sleep(AGAIN).await,
                    }
                    told_halted.clear();
                    continue;
                }
            },
            None if !told_missing => {
                told_missing = true;
                line.accept(format!(
                    "there is no view \"{name}\" yet; this subscription starts when there is"
                ))
                .await?;
            }
            None => {}
        }
        tokio::select! {
            woken = changed.changed() => if woken.is_err() { return Ok(()) },
            // What has been closed is silent.
            _ = tokio::time::sleep(IDLE_HEARTBEAT), if told_halted.is_empty() => line.idle_heartbeat().await?,
        }
    }
}

/// Follows a view that runs until it ends. Gives whether there was a first frame, the view's epoch and the reason.
async fn run_view(
    line: &Line<'_>,
    view: &ViewInfo,
    resume: Option<Resume>,
) -> Result<(bool, Option<u64>, String), Gone> {
    let subscription = match line.app.views.subscribe(&view.db, &view.name, false) {
        Ok(subscription) => subscription,
        // Dropped meanwhile.
        Err(error) => return Ok((false, None, error.to_string())),
    };
    let epoch = subscription.epoch();
    let topic = &line.label.topic;
    let shared = line
        .app
        .topics
        .of(&format!("{}\0{topic}\0{epoch}", view.db));
    let run = Run {
        epoch,
        notices: &[],
        resume,
        shared: Some(&shared),
        begun: false,
    };
    let (begun, reason) = run.follow(line, subscription).await?;
    Ok((begun, Some(epoch), reason))
}

/// How a subscription's frames are handed on.
struct Run<'a> {
    epoch: u64,
    notices: &'a [String],
    resume: Option<Resume>,
    shared: Option<&'a Shared>,
    begun: bool,
}

impl Run<'_> {
    /// Hands on a subscription's frames until it ends. Gives whether there was a first one, and the reason.
    async fn follow(
        mut self,
        line: &Line<'_>,
        mut subscription: Subscription,
    ) -> Result<(bool, String), Gone> {
        let mut heartbeat = interval_at(Instant::now() + Duration::from_millis(500), HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let frame = tokio::select! {
                frame = subscription.next() => frame,
                _ = heartbeat.tick(), if self.begun => {
                    // The number is read before the queue is looked at: what it covers has been queued by then.
                    let seq = subscription.seq();
                    match subscription.try_next() {
                        Some(frame) => Some(frame),
                        None => {
                            let watermark = subscription.watermark();
                            line.send(frames::heartbeat(&line.label, Some(self.epoch), seq, watermark)).await?;
                            continue;
                        }
                    }
                }
            };
            let Some(frame) = frame else {
                return Ok((self.begun, "the subscription has ended".into()));
            };
            if let Frame::Closed { reason } = frame.as_ref() {
                return Ok((self.begun, reason.clone()));
            }
            self.hand_on(line, &subscription, &frame).await?;
        }
    }

    async fn hand_on(
        &mut self,
        line: &Line<'_>,
        subscription: &Subscription,
        frame: &Arc<Frame>,
    ) -> Result<(), Gone> {
        let (label, app) = (&line.label, line.app);
        match frame.as_ref() {
            Frame::Snapshot { seq, rows } => {
                if !self.begun && self.begin(line, subscription, *seq).await? {
                    return Ok(());
                }
                for part in frames::snapshot(label, self.epoch, *seq, rows) {
                    line.send(part).await?;
                }
            }
            Frame::Changes {
                prev,
                seq,
                insert,
                retract,
            } => {
                app.commit_times
                    .pushed(*seq, &app.metrics.pushes, app.engine.clock().wall_ns());
                let write = |label: &Label| {
                    frames::changes(label, self.epoch, (*prev, *seq), insert, retract)
                };
                let text = match self.shared {
                    None => write(label),
                    Some(shared) => {
                        let plain = || {
                            write(&Label {
                                topic: label.topic.clone(),
                                id: None,
                            })
                        };
                        label.named(&shared.text(frame, plain))
                    }
                };
                line.send(text).await?;
            }
            Frame::Gap { from, to } => {
                let reason = "the subscriber was too slow; a snapshot follows";
                line.send(frames::gap(label, Some(self.epoch), *from, *to, reason))
                    .await?;
            }
            Frame::Closed { .. } => {}
        }
        Ok(())
    }

    /// Tells that the subscription has begun. True when the client has seen the first snapshot already.
    async fn begin(
        &mut self,
        line: &Line<'_>,
        subscription: &Subscription,
        seq: u64,
    ) -> Result<bool, Gone> {
        self.begun = true;
        let (label, columns) = (&line.label, subscription.columns());
        line.send(frames::subscribed(
            label,
            columns,
            self.epoch,
            seq,
            self.notices,
        ))
        .await?;
        let Some(resume) = self.resume.take() else {
            return Ok(false);
        };
        let seen = resume.epoch == frames::shown_epoch(self.epoch) && resume.seq == seq;
        if !seen {
            let reason = "the changes since then are not kept; a snapshot follows";
            line.send(frames::gap(
                label,
                Some(self.epoch),
                resume.seq,
                seq,
                reason,
            ))
            .await?;
        }
        Ok(seen)
    }
}

/// Follows a query until the connection ends.
pub(super) async fn sql(app: Arc<App>, id: String, sql: String, db: String, queue: Queue) {
    let line = Line {
        app: &app,
        label: Label {
            topic: id.clone(),
            id: Some(id.clone()),
        },
        queue: &queue,
    };
    let ended = match subscribe(&app, &sql, &db).await {
        Ok((attached, notices)) => run_query(&line, attached, &notices).await,
        Err(error) => line.error(&error).await,
    };
    if ended.is_err() {
        tracing::trace!(id, "a subscriber has gone");
    }
}

async fn run_query(line: &Line<'_>, attached: Attached, notices: &[String]) -> Result<(), Gone> {
    let (subscription, _part) = attached.into_parts();
    let epoch = subscription.epoch();
    let run = Run {
        epoch,
        notices,
        resume: None,
        shared: None,
        begun: false,
    };
    let (_, reason) = run.follow(line, subscription).await?;
    line.send(frames::closing(&line.label, Some(epoch), &reason))
        .await
}

/// Subscribes to one `SELECT .. EMIT ..`; nothing else is run here.
async fn subscribe(
    app: &Arc<App>,
    sql: &str,
    db: &str,
) -> Result<(Attached, Vec<String>), ApiError> {
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
