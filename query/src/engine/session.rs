//! DataFusion's state: functions and optimizer rules are set up once, the bounds of a statement per statement.

use super::{QueryConfig, Session};
use crate::error::QueryError;
use crate::history::percentiles;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use std::sync::Arc;

fn runtime(bytes: usize) -> Result<Arc<RuntimeEnv>, QueryError> {
    // Nothing is spilled: a query that needs more than its bound fails with a clear error.
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(bytes)))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(QueryError::from)
}

/// The state that all statements start from.
pub(super) fn base_state(config: &QueryConfig) -> Result<SessionState, QueryError> {
    let mut settings = SessionConfig::new()
        .with_target_partitions(config.threads)
        .with_batch_size(config.batch_rows)
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false)
        .with_collect_statistics(false);
    let options = settings.options_mut();
    // Statements know nothing of files, and a plan is made in well under a millisecond without a second look.
    options.optimizer.max_passes = 1;
    options.optimizer.skip_failed_rules = false;
    options.optimizer.prefer_existing_sort = true;
    let mut state = SessionStateBuilder::new()
        .with_config(settings)
        .with_runtime_env(runtime(config.memory_bytes)?)
        .with_default_features()
        .build();
    for function in percentiles() {
        state.register_udaf(function)?;
    }
    Ok(state)
}

/// The state for one statement: the shared one, unless the session has a bound of its own. Copying it would cost more
/// than planning a small query.
pub(super) fn state_for(
    base: &Arc<SessionState>,
    config: &QueryConfig,
    session: &Session,
) -> Result<Arc<SessionState>, QueryError> {
    match session.memory_limit.filter(|b| *b < config.memory_bytes) {
        Some(bytes) => {
            let builder = SessionStateBuilder::new_from_existing(base.as_ref().clone());
            Ok(Arc::new(builder.with_runtime_env(runtime(bytes)?).build()))
        }
        None => Ok(Arc::clone(base)),
    }
}
