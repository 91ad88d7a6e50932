//! The routes of a configuration file.

use super::Reader;
use super::file::{File, OneOrMany};
use super::provider::ProviderConfig;
use crate::route::{Alias, Hop, Known, Routes};
use crate::typo;

impl Reader<'_, '_> {
    /// The routes to `providers`, of which the first `by_default` are tried without a rule.
    pub(super) fn routes(
        &mut self,
        file: &File,
        providers: &[ProviderConfig],
        by_default: usize,
    ) -> Routes {
        let known = |provider: &ProviderConfig| Known {
            name: provider.name.clone(),
            model: provider.model.clone(),
            images: provider.images,
        };
        let mut routes = Routes::in_order(providers.iter().map(known).collect());
        routes.default.truncate(by_default.max(1));

        let models = &file.models;
        let rules = &file.rules;
        if !models.default.all().is_empty() {
            routes.default = self.hops(&routes, "models.default", &models.default);
        }
        routes.opus = self.hops(&routes, "models.opus", &models.opus);
        routes.sonnet = self.hops(&routes, "models.sonnet", &models.sonnet);
        routes.haiku = self.hops(&routes, "models.haiku", &models.haiku);
        routes.fable = self.hops(&routes, "models.fable", &models.fable);
        if let Some(rule) = &rules.long_context {
            routes.long_context_tokens = rule.above_tokens;
            routes.long_context = self.hops(&routes, "rules.long_context.use", &rule.hops);
        }
        routes.background = self.hops(&routes, "rules.background", &rules.background);
        routes.thinking = self.hops(&routes, "rules.thinking", &rules.thinking);
        routes.images = self.hops(&routes, "rules.images", &rules.images);
        routes.describe = self.hops(&routes, "rules.images.describe", &rules.describe);
        for hop in &routes.describe {
            let known = &routes.providers[hop.provider];
            let model = hop.model.as_deref().unwrap_or(&known.model);
            if !known.images.of(model) {
                let place = self.place("rules.images.describe");
                self.problem(format!(
                    "{place}: {}/{model} is shown no pictures itself; name a model that is, or set \
                     \"images\" of {} to true",
                    known.name, known.name
                ));
            }
        }
        routes.web_search = self.hops(&routes, "rules.web_search", &rules.web_search);
        for (id, alias) in &file.aliases {
            let (hops, display_name) = (&alias.hops, alias.display_name.clone());
            let path = format!("aliases.{id}");
            let place = self.place(&path);
            if id.ends_with("[1m]") {
                self.problem(format!(
                    "{place}: [1m] is Claude Code's mark and is taken off; name the alias without it"
                ));
            }
            if hops.all().is_empty() {
                self.problem(format!("{place}: it names no model, such as provider/model"));
            }
            let hops = self.hops(&routes, &path, hops);
            routes.aliases.push(Alias { id: id.clone(), display_name, hops });
        }
        routes
    }

    fn hops(&mut self, routes: &Routes, path: &str, names: &OneOrMany) -> Vec<Hop> {
        let mut hops = Vec::new();
        for name in names.all() {
            match routes.hop(name) {
                Some(hop) => {
                    hops.push(Hop { provider: hop.provider, model: hop.model.map(str::to_owned) });
                }
                // What could not be read of the file is not there, and has been told.
                None if self.file.is_some_and(|(_, file)| !file.problems.is_empty()) => {}
                None => {
                    let known: Vec<&str> = routes.providers.iter().map(|p| &*p.name).collect();
                    let provider = name.split(['/', ',']).next().unwrap_or_default();
                    let hint = typo::hint(provider, known.iter().copied(), "");
                    let place = self.place(path);
                    self.problem(format!(
                        "{place}: {name:?} names no provider; use PROVIDER/MODEL with one of {}{hint}",
                        known.join(", ")
                    ));
                }
            }
        }
        hops
    }
}
