//! The engine that a run works with.

use crate::address::Address;
use crate::buildkit::{BuildKitError, Connection, Transport};
use crate::engine::{Engine, EngineError, ImageStore, RunnerKind};
use crate::error::chain;
use crate::inputs::BuilderChoice;
use crate::outcome::build::EngineFacts;
use crate::plan::build::Builder;
use crate::runner::ExitCode;

use super::Run;

impl Run {
    /// Connects to the engine that the environment names.
    pub(super) async fn engine(&self) -> Result<Engine, EngineError> {
        let address = Address::from_env(|name| self.environment.get(name).map(str::to_owned))?;
        Engine::connect(&address).await
    }

    /// Says why there is no engine.
    pub(super) fn no_engine(&self, error: &EngineError) -> ExitCode {
        let kind = RunnerKind::from_env(|name| self.environment.get(name).map(str::to_owned));
        self.explain(&chain(error), &error.help(kind).unwrap_or_default());
        ExitCode::NoEngine
    }

    /// Says why there is no BuildKit.
    pub(super) fn no_buildkit(&self, error: &BuildKitError) -> ExitCode {
        self.explain(&chain(error), error.help());
        ExitCode::NoEngine
    }
}

/// A connection to the BuildKit inside the engine.
pub(super) async fn buildkit(engine: &Engine) -> Result<Connection, BuildKitError> {
    let api = engine.info().api_version;
    Connection::open(engine.address(), Transport::of_engine((api.major, api.minor))).await
}

/// The builder that is used: BuildKit wherever there is one.
pub(super) fn builder(choice: BuilderChoice, engine: &Engine) -> Builder {
    match choice {
        BuilderChoice::Auto if engine.info().has_buildkit => Builder::BuildKit,
        BuilderChoice::BuildKit => Builder::BuildKit,
        BuilderChoice::Classic | BuilderChoice::Auto => Builder::Classic,
    }
}

/// What is worth saying of the engine.
pub(super) fn facts(engine: &Engine, builder: Builder) -> EngineFacts {
    let builder = match builder {
        Builder::BuildKit => "buildkit",
        Builder::Classic => "classic",
    };
    EngineFacts {
        version: engine.info().version.clone(),
        containerd_store: engine.info().store == ImageStore::Containerd,
        builder: builder.to_owned(),
    }
}
