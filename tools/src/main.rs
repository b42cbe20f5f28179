//! The `tidemill` command.

mod demo;
mod inspect;
mod load;
mod serve;
mod sql;
mod verify;

use clap::{Parser, Subcommand};

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
    Serve(serve::ServeArgs),
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

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(args),
        Command::Sql(args) => exit(sql::run(args)?),
        Command::Load(args) => load::run(args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => exit(verify::run(&args)),
    }
}

/// Ends with a status; 0 is the ordinary end.
fn exit(status: u8) -> anyhow::Result<()> {
    match status {
        0 => Ok(()),
        status => std::process::exit(i32::from(status)),
    }
}
