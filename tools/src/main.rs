//! The `tidemill` command.

mod demo;
mod load;
mod serve;
mod sql;

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
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(args),
        Command::Sql(args) => match sql::run(args)? {
            0 => Ok(()),
            status => std::process::exit(i32::from(status)),
        },
        Command::Load(args) => load::run(args),
    }
}
