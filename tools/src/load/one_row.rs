//! One row per request over many keep-alive connections: what a fleet of sensors without a batching agent does. One
//! thread holds all connections.

use super::args::OneRowArgs;
use super::drive::{BUSY_PATIENCE, Load, Plan, Progress, backoff, finish};
use super::report::{Counters, Summary, histogram, note};
use super::response::{Response, Target, parse};
use super::tsbs;
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a server may take over one request.
const PATIENCE: Duration = Duration::from_secs(60);

struct Shared {
    target: Target,
    state: RefCell<(tsbs::Source, Plan, Histogram<u64>)>,
    counters: Counters,
    /// Set when a connection has failed.
    stop: Cell<bool>,
}

/// Runs the workload and prints the summary.
pub(super) fn run(args: &OneRowArgs) -> anyhow::Result<()> {
    if args.common.verify_sample > 0 {
        bail!("--verify-sample is for batches");
    }
    let path = args.common.path.as_deref().unwrap_or(tsbs::PATH);
    let target = Target::new(
        &args.common.url,
        path,
        "text/plain; charset=utf-8",
        args.common.token.as_deref(),
    )?;
    let source = tsbs::Source::new(&args.data, args.common.seed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    let summary = local.block_on(&runtime, drive(args, target, source))?;
    finish(&summary, &args.common)
}

async fn drive(args: &OneRowArgs, target: Target, source: tsbs::Source) -> anyhow::Result<Summary> {
    let mut streams = Vec::new();
    for _ in 0..args.connections {
        let stream = TcpStream::connect(&target.address)
            .await
            .with_context(|| format!("no connection to {}", target.address))?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let plan = Plan::new(&args.common)?;
    let (start, bar) = (plan.start, Progress::new(&args.common, &plan));
    let shared = Rc::new(Shared {
        target,
        state: RefCell::new((source, plan, histogram())),
        counters: Counters::default(),
        stop: Cell::new(false),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for stream in streams {
        tasks.spawn_local(connection(shared.clone(), stream));
    }
    let mut redraw = tokio::time::interval(Duration::from_millis(100));
    let mut error = None;
    loop {
        tokio::select! {
            done = tasks.join_next() => match done.map(|d| d.context("a connection's task panicked")) {
                None => break,
                Some(Ok(Ok(()))) => {}
                // The others answer for what they have sent, and then send no more.
                Some(Err(e) | Ok(Err(e))) => {
                    shared.stop.set(true);
                    error = error.or(Some(e));
                }
            },
            _ = redraw.tick(), if !bar.is_hidden() => bar.show(&shared.counters),
        }
    }
    bar.clear();
    let seconds = start.elapsed().as_secs_f64();
    let Ok(shared) = Rc::try_unwrap(shared) else {
        bail!("a connection is still open")
    };
    let (source, _, latency) = shared.state.into_inner();
    Ok(Summary {
        seconds,
        counters: shared.counters,
        latency,
        facts: source.facts(),
        verified: None,
        error,
    })
}

async fn connection(shared: Rc<Shared>, mut stream: TcpStream) -> anyhow::Result<()> {
    let (mut row, mut request, mut inbox) = (Vec::new(), Vec::new(), Vec::new());
    while !shared.stop.get() {
        row.clear();
        let (batch, due) = {
            let (source, plan, _) = &mut *shared.state.borrow_mut();
            let Some((rows, due)) = plan.next(1) else {
                return Ok(());
            };
            (source.render(rows, &mut row)?, due)
        };
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
        }
        let begun = due.unwrap_or_else(Instant::now);
        shared.target.head(row.len(), &mut request);
        request.extend_from_slice(&row);
        let sent = Instant::now();
        loop {
            stream
                .write_all(&request)
                .await
                .context("sending a request")?;
            let response = tokio::time::timeout(PATIENCE, receive(&mut stream, &mut inbox))
                .await
                .context("no answer")??;
            if response.close {
                stream = TcpStream::connect(&shared.target.address).await?;
                stream.set_nodelay(true)?;
            }
            match response.status {
                200..=299 => break,
                429 | 503 if sent.elapsed() < BUSY_PATIENCE => {
                    shared.counters.busy.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(backoff(response.retry_after)).await;
                }
                status => bail!(
                    "{status}: {}",
                    String::from_utf8_lossy(&response.body[..response.body.len().min(2000)])
                ),
            }
        }
        let (source, _, latency) = &mut *shared.state.borrow_mut();
        note(latency, begun.elapsed());
        source.acknowledged(&batch.proof);
        shared.counters.acknowledged(1, row.len() as u64);
    }
    Ok(())
}

async fn receive(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> anyhow::Result<Response> {
    inbox.clear();
    loop {
        if stream
            .read_buf(inbox)
            .await
            .context("waiting for an answer")?
            == 0
        {
            bail!("the server closed the connection without an answer");
        }
        while let Some((response, taken)) = parse(inbox)? {
            inbox.drain(..taken);
            if response.status >= 200 {
                return Ok(response);
            }
        }
    }
}
