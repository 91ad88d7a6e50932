//! What the settings say at one time, to tell what a reload changes. Values are compared and never
//! shown.

use super::settings::{CLIENT_KEYS, LOG_LEVEL, OPEN, SETTINGS};
use super::{Config, Environment, Secret};

/// The settings that a running server takes over.
pub(super) const LIVE: &[&[&str]] = &[CLIENT_KEYS.variables, LOG_LEVEL.variables, OPEN.variables];

/// The values of the variables that matter to a configuration, and the text of its file.
#[derive(Debug, Default)]
pub struct Watched(Vec<(String, Option<Secret>)>);

impl Watched {
    /// Takes down what `env` says of the settings of `config`. A flag rules a variable out.
    pub fn new(
        config: &Config,
        flags: &[(&'static str, String)],
        env: &Environment,
        file: Option<(&str, &str)>,
    ) -> Watched {
        let mut names: Vec<String> = Vec::new();
        for setting in SETTINGS.iter().filter(|s| !flags.iter().any(|(flag, _)| *flag == s.flag)) {
            for variable in setting.variables {
                match variable.strip_prefix("<P>_") {
                    None => names.push((*variable).to_owned()),
                    Some(suffix) => {
                        names.extend(config.providers.iter().map(|p| p.variable(suffix)));
                    }
                }
            }
        }
        let rows = config.providers.iter().flat_map(|provider| provider.row.key_vars);
        names.extend(rows.map(|name| (*name).to_owned()));
        names.sort_unstable();
        names.dedup();
        let value = |name: String| (env.get(&name).map(Secret::new), name);
        let mut values: Vec<_> = names.into_iter().map(value).map(|(v, name)| (name, v)).collect();
        values.extend(file.map(|(path, text)| (path.to_owned(), Some(Secret::new(text)))));
        Watched(values)
    }

    /// The names whose values are others in `now`: those that a running server takes over, and
    /// those that need a restart.
    pub fn changed(&self, now: &Watched) -> (Vec<String>, Vec<String>) {
        let get = |of: &Watched, name: &str| -> Option<Secret> {
            of.0.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone())
        };
        let mut names: Vec<&String> = self.0.iter().chain(&now.0).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        let changed = names.into_iter().filter(|name| get(self, name) != get(now, name)).cloned();
        changed.partition(|name| LIVE.iter().any(|names| names.contains(&&**name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_and_what_needs_a_restart() {
        let watched = |values: &[(&'static str, &'static str)],
                       flags: &[(&'static str, String)]| {
            let env: Environment = values.iter().copied().collect();
            let config = Config::new(flags, &env, "localhost", None).expect("it is valid");
            Watched::new(&config, flags, &env, None)
        };
        let groq = ("GROQ_API_KEY", "sk-1");
        let before = watched(&[groq, ("LOG_LEVEL", "info"), ("PORT", "1")], &[]);
        assert_eq!(before.changed(&before), (vec![], vec![]));
        let after = watched(
            &[("GROQ_API_KEY", "sk-2"), ("GROQ_MODEL", "m"), ("CCPROXY_API_KEY", "k")],
            &[],
        );
        let (live, late) = before.changed(&after);
        assert_eq!(live, ["CCPROXY_API_KEY", "LOG_LEVEL"]);
        assert_eq!(late, ["GROQ_API_KEY", "GROQ_MODEL", "PORT"]);
        let flags = [("port", "2".to_owned())];
        let (with, without) = (watched(&[groq, ("PORT", "1")], &flags), watched(&[groq], &flags));
        assert_eq!(with.changed(&without), (vec![], vec![]), "the flag rules");
        assert!(!format!("{after:?}").contains("sk-2"));
    }
}
