//! What an image of Incus says of itself. No templates: Incus gives a container its host name when it starts.
//!
//! Source: Incus' documentation, "Image format" (unified image).

use super::recipe::{Distribution, Recipe};
use crate::clock::calendar;

/// The first file of the archive.
pub(super) const METADATA: &str = "metadata.yaml";
/// Where the root is in it.
pub(super) const ROOT: &str = "rootfs";

pub(super) fn name(recipe: &Recipe) -> String {
    format!("{}-incus.tar.zst", recipe.name)
}

/// Texts of JSON are texts of YAML.
pub(super) fn metadata(recipe: &Recipe, epoch: u64) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let os = match recipe.distribution {
        Distribution::Debian => "Debian",
        Distribution::Ubuntu => "Ubuntu",
    };
    let [year, month, day, hour, minute, _] = calendar(epoch);
    let serial = format!("{year:04}{month:02}{day:02}_{hour:02}{minute:02}");
    let properties = [
        ("architecture", recipe.architecture.as_str()),
        ("description", &recipe.name),
        ("name", &recipe.name),
        ("os", os),
        ("release", &recipe.suite),
        ("serial", &serial),
    ];
    let lines = properties.map(|(name, value)| format!("  {name}: {}\n", quoted(value)));
    format!(
        "architecture: {}\ncreation_date: {epoch}\nproperties:\n{}",
        recipe.architecture.machine(),
        lines.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_tells_what_it_is_of() {
        let recipe =
            Recipe::parse("name = \"small\"\nsuite = \"trixie\"\narchitecture = \"arm64\"\n").unwrap();
        assert_eq!(
            metadata(&recipe, 1_789_199_741),
            "architecture: aarch64\ncreation_date: 1789199741\nproperties:\n  architecture: \"arm64\"\n  \
             description: \"small\"\n  name: \"small\"\n  os: \"Debian\"\n  release: \"trixie\"\n  serial: \"20260912_0755\"\n"
        );
    }
}
