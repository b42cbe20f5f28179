//! Compatibility levels and modes, for all subjects and for one.

use super::error::RegistryError;
use super::state::{Mode, State, Subject, subject_name};
use super::{Edit, Registry};
use crate::compat::Level;
use std::sync::Arc;

impl Registry {
    /// The level for all subjects.
    #[must_use]
    pub fn level(&self) -> Level {
        self.now().level.unwrap_or_default()
    }

    /// A subject's own level; with `or_global` the one for all where it has none.
    ///
    /// # Errors
    /// 40408 when it has none.
    pub fn level_of(&self, subject: &str, or_global: bool) -> Result<Level, RegistryError> {
        let state = self.now();
        let own = state.subjects.get(subject).and_then(|s| s.level);
        if or_global {
            return Ok(state.level_of(subject));
        }
        own.ok_or_else(|| {
            let message =
                format!("Subject '{subject}' does not have subject-level compatibility configured");
            RegistryError::new(404, 40408, message)
        })
    }

    /// Sets the level for all subjects or for one; `None` takes it away. Gives the one before.
    ///
    /// # Errors
    /// 40401 when a subject's is taken away that has none; 50001.
    pub fn set_level(
        &self,
        subject: Option<&str>,
        level: Option<Level>,
    ) -> Result<Level, RegistryError> {
        self.set(
            subject,
            level.is_none(),
            |s| s.level.is_some(),
            |state| std::mem::replace(&mut state.level, level),
            |subject| std::mem::replace(&mut subject.level, level),
        )
        .map(Option::unwrap_or_default)
    }

    /// The mode for all subjects.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.now().mode.unwrap_or_default()
    }

    /// A subject's own mode; with `or_global` the one for all where it has none.
    ///
    /// # Errors
    /// 40409 when it has none.
    pub fn mode_of(&self, subject: &str, or_global: bool) -> Result<Mode, RegistryError> {
        let state = self.now();
        if or_global {
            return Ok(state.mode_of(subject));
        }
        let own = state.subjects.get(subject).and_then(|s| s.mode);
        own.ok_or_else(|| {
            let message =
                format!("Subject '{subject}' does not have subject-level mode configured");
            RegistryError::new(404, 40409, message)
        })
    }

    /// Sets the mode for all subjects or for one; `None` takes it away. Import begins with nothing there, unless it is
    /// forced. Gives the one before.
    ///
    /// # Errors
    /// 42205 when there are schemas already; 40401 when a subject's is taken away that has none; 50001.
    pub fn set_mode(
        &self,
        subject: Option<&str>,
        mode: Option<Mode>,
        force: bool,
    ) -> Result<Mode, RegistryError> {
        if mode == Some(Mode::Import) && !force {
            let state = self.now();
            let any = |s: &Arc<Subject>| s.live().next().is_some();
            let there = match subject {
                Some(name) => state.subjects.get(name).is_some_and(any),
                None => state.subjects.values().any(any),
            };
            if there {
                return Err(RegistryError::not_permitted(
                    "Cannot import since found existing subjects",
                ));
            }
        }
        self.set(
            subject,
            mode.is_none(),
            |s| s.mode.is_some(),
            |state| std::mem::replace(&mut state.mode, mode),
            |subject| std::mem::replace(&mut subject.mode, mode),
        )
        .map(Option::unwrap_or_default)
    }

    fn set<T>(
        &self,
        subject: Option<&str>,
        away: bool,
        has: impl Fn(&Subject) -> bool,
        global: impl FnOnce(&mut State) -> T,
        own: impl FnOnce(&mut Subject) -> T,
    ) -> Result<T, RegistryError> {
        let _one = self.changing.lock();
        let mut next = (*self.now()).clone();
        let Some(name) = subject else {
            let before = global(&mut next);
            let edits = vec![Edit::Put(next.global())];
            return self.publish(next, edits).map(|()| before);
        };
        let known = next.subjects.get(name);
        if away && !known.is_some_and(|s| has(s)) {
            return Err(RegistryError::no_subject(name));
        }
        let mut known = known.map(|s| (**s).clone()).unwrap_or_default();
        let before = own(&mut known);
        let nothing = known.versions.is_empty() && known.level.is_none() && known.mode.is_none();
        let edit = if nothing {
            next.subjects.remove(name);
            Edit::Drop(subject_name(name))
        } else {
            let put = Edit::Put(known.object(name));
            next.subjects.insert(name.to_owned(), Arc::new(known));
            put
        };
        self.publish(next, vec![edit]).map(|()| before)
    }
}
