//! What exists of builders besides the engine's own, and whether they are at work.

use std::time::Duration;

use crate::buildkit::usage::{self, Record};
use crate::buildkit::{BuildKitError, Connection, activity};
use crate::engine::{BuilderContainer, Engine, EngineError, StateVolume};
use crate::error::chain;

/// How long records in use are waited for, and how often they are looked at: a build that has just ended lets its records
/// go a moment later.
const RELEASE: Duration = Duration::from_secs(2);
const RELEASE_PAUSE: Duration = Duration::from_millis(250);
/// A builder that does not answer for so long is not waited for.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);

/// The builders of an engine besides its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildersSurvey {
    /// Those that are there, by name.
    pub builders: Vec<SurveyedBuilder>,
    /// Volumes of builders that are not there any more.
    pub left_over: Vec<StateVolume>,
}

/// A builder as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedBuilder {
    /// Its container.
    pub container: BuilderContainer,
    /// What it does.
    pub state: BuilderState,
}

/// What a builder does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuilderState {
    /// It runs, and no build is at work in it. Its records.
    Idle(Vec<Record>),
    /// A build is at work in it.
    Building,
    /// It does not run: what it holds is in its volume.
    Stopped,
    /// It runs and does not answer as a builder does. Why.
    Silent(String),
}

/// Why a builder could not be asked.
pub type AskError = Box<dyn std::error::Error + Send + Sync>;

impl BuildersSurvey {
    /// Asks the engine, and every builder that runs.
    ///
    /// # Errors
    /// [`EngineError`] of the engine; a builder that does not answer is [`BuilderState::Silent`].
    pub async fn take(engine: &Engine) -> Result<Self, EngineError> {
        let found = engine.builders().await?;
        let builders = found.containers.into_iter().map(|container| async {
            let state = if container.running { state_of(engine, &container).await } else { BuilderState::Stopped };
            SurveyedBuilder { container, state }
        });
        Ok(Self { builders: futures_util::future::join_all(builders).await, left_over: found.left_over })
    }
}

async fn state_of(engine: &Engine, container: &BuilderContainer) -> BuilderState {
    let asked = async { activity_of(&connect(engine, container).await?).await.map_err(AskError::from) };
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(Ok(state)) => state,
        Ok(Err(error)) => BuilderState::Silent(chain(error.as_ref())),
        Err(_) => BuilderState::Silent(format!("it did not answer within {} s", ANSWER.as_secs())),
    }
}

/// A connection to the BuildKit in a builder's container.
pub(crate) async fn connect(engine: &Engine, container: &BuilderContainer) -> Result<Connection, AskError> {
    let stream = engine.dial_builder(container).await?;
    Ok(Connection::over(stream, engine.address()).await?)
}

/// Whether it is at work: a build in its history that has not ended, or records that stay in use. The first is certain where
/// BuildKit tells (from 0.11 on); the second is all that an older one shows, and holds from a build's first step on.
pub(crate) async fn activity_of(connection: &Connection) -> Result<BuilderState, BuildKitError> {
    let begun = tokio::time::Instant::now();
    loop {
        if activity::builds(connection).await?.is_some_and(|builds| builds > 0) {
            return Ok(BuilderState::Building);
        }
        let records = usage::records(connection).await?;
        if records.iter().all(|record| !record.in_use) {
            return Ok(BuilderState::Idle(records));
        }
        if begun.elapsed() > RELEASE {
            return Ok(BuilderState::Building);
        }
        tokio::time::sleep(RELEASE_PAUSE).await;
    }
}
