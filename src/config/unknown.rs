//! Variables that look like settings and are none: a typo in the name of a key would open the port,
//! and one in the name of a limit would be found when it is needed.

use super::entry::variable;
use super::provider::ProviderConfig;
use super::settings::*;
use super::value::is_link;
use super::{Reader, Setting};
use crate::provider::{PROVIDERS, Provider};
use crate::typo::{difference, nearest};

/// Where the settings of ccproxy itself begin.
const OWN: &str = "CCPROXY_";

/// By these scripts find the program or name its version; the program has no use for them.
const OF_SCRIPTS: &[&str] =
    &["CCPROXY_BIN", "CCPROXY_BINARY", "CCPROXY_DIR", "CCPROXY_HOME", "CCPROXY_VERSION"];

/// What Kubernetes and Docker put into a container for each Service or linked container, here of a
/// name whose variables begin with ours: `CCPROXY_PORT=tcp://…`, `CCPROXY_SERVICE_HOST`,
/// `CCPROXY_PORT_3456_TCP_ADDR`.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = |rest: &str| {
        let mut parts = rest.split('_');
        let number = parts.next().unwrap_or_default();
        let protocol = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        number.parse::<u16>().is_ok()
            && matches!(protocol, "TCP" | "UDP" | "SCTP")
            && matches!(rest[..], [] | ["PROTO" | "PORT" | "ADDR" | "START" | "END"])
    };
    is_link(value) && name.ends_with("_PORT")
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.match_indices("_PORT_").any(|(at, mark)| is_port(&name[at + mark.len()..]))
}

/// The variables of settings that belong to no provider.
fn general() -> impl Iterator<Item = &'static str> {
    let all = SETTINGS.iter().flat_map(|setting| setting.variables);
    all.copied().filter(|name| !name.starts_with("<P>_"))
}

/// Every variable that the provider `row`, called `prefix` in capitals, reads.
fn of_provider(prefix: &str, row: &Provider) -> Vec<String> {
    let own = SETTINGS.iter().flat_map(|setting: &Setting| setting.variables);
    let mut names: Vec<String> =
        own.filter_map(|name| Some(format!("{prefix}{}", name.strip_prefix("<P>_")?))).collect();
    names.extend(row.key_vars.iter().map(|name| (*name).to_owned()));
    names.extend(row.headers.iter().map(|(_, name)| (*name).to_owned()));
    names
}

/// The known variable that `name` was to be, with the prefixes of ours and others' taken off where
/// that helps: `CCPROXY_LOG_LEVEL` is `LOG_LEVEL`, and `CCPROXY_PORT` one of the names of the port.
fn meant<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    nearest(name, known.iter().copied()).or_else(|| {
        let bare = name.strip_prefix(OWN)?;
        let same = |known: &&&str| known.strip_prefix("SERVER_").unwrap_or(known) == bare;
        known.iter().find(same).copied().or_else(|| nearest(bare, known.iter().copied()))
    })
}

/// Whether `name` is that of a setting, or nearly so: what a file says of it is meant for ccproxy.
pub fn is_setting(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_suffix("_FILE").unwrap_or(&upper);
    let of_providers = PROVIDERS
        .iter()
        .flat_map(|row| of_provider(&format!("{}_", row.name.to_ascii_uppercase()), row));
    let known: Vec<String> = general().map(str::to_owned).chain(of_providers).collect();
    bare.starts_with(OWN)
        || known.iter().any(|known| known == bare)
        || nearest(bare, known.iter().map(|known| &**known)).is_some()
}

impl Reader<'_, '_> {
    /// Refuses variables that are nobody's: `CCPROXY_…`, those of `providers`, and what is one
    /// letter off from the others.
    pub(super) fn unknown_variables(&mut self, providers: &[ProviderConfig]) {
        let of_providers: Vec<(String, &ProviderConfig, Vec<String>)> = providers
            .iter()
            .map(|provider| {
                let prefix = provider.variable("");
                let names = of_provider(&prefix, provider.row);
                (prefix, provider, names)
            })
            .collect();
        let general: Vec<&str> = general().collect();
        let mut known = general.clone();
        known.extend(of_providers.iter().flat_map(|(_, _, names)| names.iter().map(|n| &**n)));
        // Of all providers, since the key of another one is not a typo.
        let others: Vec<String> = PROVIDERS
            .iter()
            .flat_map(|row| of_provider(&variable(row.name, row, ""), row))
            .collect();
        let mut refused = Vec::new();
        let mut ignored = Vec::new();
        for (name, value) in self.env.iter() {
            // What holds the name of a file is as good as the setting itself.
            let (setting, tail) = match name.strip_suffix("_FILE") {
                Some(setting) => (setting, "_FILE"),
                None => (name, ""),
            };
            let is = |known: &str| known == name || known == setting;
            let is_known =
                known.iter().any(|known| is(known)) || others.iter().any(|known| is(known));
            if is_known || self.named.contains(name) || is_service_link(name, value) {
                continue;
            }
            let label = self.env.label(name);
            let upper = setting.to_ascii_uppercase();
            let owners = of_providers.iter().filter(|(prefix, ..)| upper.starts_with(&**prefix));
            let owner = owners.max_by_key(|(prefix, ..)| prefix.len());
            let refusal = if upper.starts_with(OWN) {
                if OF_SCRIPTS.contains(&name) {
                    continue;
                }
                Some((meant(&upper, &known), "--help lists those of ccproxy".to_owned()))
            } else if let Some((_, provider, names)) = owner {
                let near = nearest(&upper, names.iter().map(|name| &**name));
                let all = format!("provider {} has {}", provider.name, names.join(", "));
                if near.is_none() && provider.name != provider.row.name {
                    // The user chose the name, and others may have chosen it before.
                    continue;
                }
                if near.is_none() && provider.row.shares_prefix {
                    ignored.push(format!("{label} means nothing to ccproxy: {all}"));
                    continue;
                }
                Some((near, all))
            } else {
                let near = general.iter().copied().find(|known| {
                    let distance = difference(name, known);
                    distance == 0 && known.len() > 4 || distance == 1 && known.len() >= 8
                });
                near.map(|near| (Some(near), String::new()))
            };
            if let Some((near, otherwise)) = refusal {
                let hint = match near {
                    Some(near) => format!("did you mean {near}{tail}?"),
                    None => otherwise,
                };
                refused.push(format!("{label} is not a setting; {hint}"));
            }
        }
        self.problems.extend(refused);
        self.warnings.extend(ignored);
    }

    /// A variable that was to be a provider's key, where none is configured.
    pub(super) fn nearly_a_key(&self) -> Option<String> {
        let keys: Vec<&str> = PROVIDERS.iter().flat_map(|row| row.key_vars).copied().collect();
        self.env.iter().find_map(|(name, _)| {
            let key = keys.iter().find(|key| difference(name, key) <= 1)?;
            let is_another = keys.contains(&name) || general().any(|known| known == name);
            (!is_another).then(|| {
                format!(
                    "{} is set, which is not a setting; did you mean {key}?",
                    self.env.label(name)
                )
            })
        })
    }
}
