//! A browser and the page that it shows.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Driver;
use crate::wait;

/// What WebDriver calls an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How the page is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub width: u32,
    pub dark: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Tab,
    Enter,
}

impl Key {
    /// As WebDriver numbers them.
    fn code(self) -> char {
        match self {
            Self::Tab => '\u{e004}',
            Self::Enter => '\u{e007}',
        }
    }
}

#[derive(Debug)]
pub struct Browser<'a> {
    driver: &'a Driver,
    session: String,
    _profile: TempDir,
}

impl<'a> Browser<'a> {
    pub fn open(driver: &'a Driver) -> Result<Self> {
        let profile = tempfile::Builder::new().prefix("firstlight-browser-").tempdir()?;
        let session = driver.session(profile.path())?;
        Ok(Self { driver, session, _profile: profile })
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.driver.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    /// A command of Chromium's own protocol.
    fn chromium(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.ask("POST", "/goog/cdp/execute", Some(&json!({ "cmd": command, "params": parameters })))
    }

    pub fn go(&self, url: &str) -> Result<()> {
        self.ask("POST", "/url", Some(&json!({ "url": url }))).map(drop)
    }

    pub fn url(&self) -> Result<String> {
        Ok(self.ask("GET", "/url", None)?.as_str().unwrap_or_default().to_owned())
    }

    /// Width, and light or dark. The height is that of a laptop.
    pub fn look(&self, look: Look) -> Result<()> {
        let size = json!({ "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.chromium("Emulation.setDeviceMetricsOverride", &size)?;
        let scheme = if look.dark { "dark" } else { "light" };
        let media = json!({ "media": "", "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.chromium("Emulation.setEmulatedMedia", &media).map(drop)
    }

    /// As on paper this wide, in pixels; A4 between usual margins is 718.
    pub fn look_printed(&self, width: u32) -> Result<()> {
        self.look(Look { width, dark: false })?;
        self.chromium("Emulation.setEmulatedMedia", &json!({ "media": "print" })).map(drop)
    }

    /// Scripts of pages that are loaded from now on.
    pub fn without_scripts(&self) -> Result<()> {
        self.chromium("Emulation.setScriptExecutionDisabled", &json!({ "value": true })).map(drop)
    }

    fn find(&self, selector: &str) -> Result<String> {
        let found =
            self.ask("POST", "/element", Some(&json!({ "using": "css selector", "value": selector })))?;
        Ok(found[ELEMENT].as_str().context("an element has a name")?.to_owned())
    }

    pub fn has(&self, selector: &str) -> bool {
        self.find(selector).is_ok()
    }

    /// What people read in it. A page may be swapped for its newer self between two questions.
    pub fn text(&self, selector: &str) -> Result<String> {
        loop {
            let element = self.find(selector)?;
            match self.ask("GET", &format!("/element/{element}/text"), None) {
                Err(error) if error.to_string().contains("stale element reference") => {}
                text => return Ok(text?.as_str().unwrap_or_default().to_owned()),
            }
        }
    }

    /// Waits until it is there and may be clicked.
    pub fn click(&self, selector: &str) -> Result<()> {
        self.until(selector, |page| {
            let element = page.find(selector).ok()?;
            page.ask("POST", &format!("/element/{element}/click"), Some(&json!({}))).ok()
        })
        .map(drop)
    }

    /// Into what has the focus.
    pub fn press(&self, key: Key) -> Result<()> {
        self.keys(&key.code().to_string())
    }

    /// Into what has the focus, key by key.
    pub fn keys(&self, text: &str) -> Result<()> {
        let strokes = text.chars().flat_map(|c| {
            let c = c.to_string();
            [json!({ "type": "keyDown", "value": c }), json!({ "type": "keyUp", "value": c })]
        });
        let strokes: Vec<Value> = strokes.collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.ask("POST", "/actions", Some(&body)).map(drop)
    }

    /// Presses Tab until what `selector` means has the focus, as somebody without a mouse does.
    pub fn tab_to(&self, selector: &str) -> Result<()> {
        let quoted = serde_json::to_string(selector)?;
        for _ in 0..80 {
            if self.run(&format!("return document.activeElement.matches({quoted})"))? == true {
                return Ok(());
            }
            self.press(Key::Tab)?;
        }
        bail!("{selector} is not reached with Tab on {}", self.url()?)
    }

    /// Runs a script in the page, as the body of a function.
    pub fn run(&self, script: &str) -> Result<Value> {
        self.ask("POST", "/execute/sync", Some(&json!({ "script": script, "args": [] })))
    }

    /// The same, for one that calls `done(...)` when it has its answer.
    pub fn run_async(&self, script: &str) -> Result<Value> {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        self.ask("POST", "/execute/async", Some(&json!({ "script": script, "args": [] })))
    }

    /// Polls the page.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> Result<T> {
        wait::until(what, Duration::from_secs(40), || look(self))
            .with_context(|| format!("on {}", self.url().unwrap_or_default()))
    }

    /// The whole page, as PNG.
    pub fn picture(&self, path: &Path) -> Result<()> {
        let shot = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.chromium("Page.captureScreenshot", &shot)?;
        let bytes = BASE64_STANDARD.decode(shot["data"].as_str().context("it gave a picture")?)?;
        std::fs::create_dir_all(path.parent().context("a picture lies in a folder")?)?;
        std::fs::write(path, bytes).with_context(|| path.display().to_string())
    }

    /// What the console was told since the last call: warnings and errors, a refused policy among them.
    pub fn complaints(&self) -> Result<Vec<String>> {
        let log = self.ask("POST", "/se/log", Some(&json!({ "type": "browser" })))?;
        let lines = log.as_array().into_iter().flatten();
        let grave = lines.filter(|line| matches!(line["level"].as_str(), Some("SEVERE" | "WARNING")));
        Ok(grave.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Where the pages asked for anything since the last call; what the browser has in itself does not count.
    pub fn requests(&self) -> Result<Vec<String>> {
        let log = self.ask("POST", "/se/log", Some(&json!({ "type": "performance" })))?;
        let lines = log.as_array().into_iter().flatten();
        let events = lines.filter_map(|line| serde_json::from_str::<Value>(line["message"].as_str()?).ok());
        let sent = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        let urls =
            sent.filter_map(|event| Some(event["message"]["params"]["request"]["url"].as_str()?.to_owned()));
        Ok(urls.filter(|url| !url.starts_with("chrome://")).collect())
    }
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        let _ = self.ask("DELETE", "", None);
    }
}
