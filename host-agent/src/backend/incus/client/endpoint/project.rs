//! Projects and profiles.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Answered, Config, Devices, Endpoint, Unreadable, nullable, parse};
use crate::backend::incus::client::call::{Call, Method, segment};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadProject {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Project {
    pub name: String,
    /// `features.*`, `limits.*`, `restricted.*`
    #[serde(default, deserialize_with = "nullable")]
    pub config: Config,
}

impl Endpoint for ReadProject {
    type Answer = Project;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/1.0/projects/{}", segment(&self.name)))
    }

    fn read(answered: Answered) -> Result<Project, Unreadable> {
        parse(answered.metadata)
    }
}

/// Those that we may see: all, or those that our certificate is restricted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListProjects;

impl Endpoint for ListProjects {
    type Answer = Vec<Project>;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/1.0/projects").with("recursion", 1)
    }

    fn read(answered: Answered) -> Result<Vec<Project>, Unreadable> {
        parse(answered.metadata)
    }
}

/// What a project's instances may take, running or not, by their configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadProjectState {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ProjectState {
    /// `memory`, `instances`, `disk`, ...
    #[serde(default, deserialize_with = "nullable")]
    pub resources: BTreeMap<String, ProjectResource>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ProjectResource {
    /// -1: none.
    #[serde(rename = "Limit")]
    pub limit: i64,
    #[serde(rename = "Usage")]
    pub usage: i64,
}

impl Endpoint for ReadProjectState {
    type Answer = ProjectState;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/1.0/projects/{}/state", segment(&self.name)))
    }

    fn read(answered: Answered) -> Result<ProjectState, Unreadable> {
        parse(answered.metadata)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadProfile {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Profile {
    pub name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub config: Config,
    #[serde(default, deserialize_with = "nullable")]
    pub devices: Devices,
}

impl Endpoint for ReadProfile {
    type Answer = Profile;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/1.0/profiles/{}", segment(&self.name)))
    }

    fn read(answered: Answered) -> Result<Profile, Unreadable> {
        parse(answered.metadata)
    }
}
