//! The `tidemill` command.

mod demo;
mod inspect;
mod load;
mod serve;
mod sql;
mod verify;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A time-series database that computes as it ingests.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, propagate_version = false)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a data directory over HTTP and WebSocket.
    Serve(Box<serve::ServeArgs>),
    /// Start a server with something going on: real flights, this host's metrics, purchases with a few fraudsters
    Demo(demo::DemoArgs),
    /// Ask a server in SQL, at a prompt or by script.
    Sql(sql::SqlArgs),
    /// Write a workload to a server and report what it acknowledged.
    Load(load::LoadArgs),
    /// Show what lies in a data directory, without a server and without changing a byte
    Inspect(inspect::InspectArgs),
    /// Check every byte of a data directory: exit status 0 if all is well, 1 if there is damage, 2 if it can't be told
    Verify(verify::VerifyArgs),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command and gives the exit status.
fn run(command: Command) -> anyhow::Result<u8> {
    let done = match command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(args),
        Command::Sql(args) => return sql::run(args),
        Command::Load(args) => load::run(args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => return Ok(verify::run(&args)),
    };
    done.map(|()| 0)
}
