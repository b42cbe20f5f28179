//! The `tidemill` command.

mod load;
mod serve;

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
    /// Write a workload to a server and report what it acknowledged.
    Load(load::LoadArgs),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Load(args) => load::run(args),
    }
}
