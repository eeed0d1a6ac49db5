//! Tables and what is written in T-SQL, in the order in which each finds what it needs.

use std::collections::{BTreeMap, BTreeSet};

use super::super::catalog::{Catalog, Module, ObjectId, Table, Trigger};
use super::super::literal::{Script, full_name, name};
use super::indexes::first_index;
use super::tables::{table, table_name};

/// Adds tables, functions and views. Procedures and triggers may come in any order later.
///
/// `by_text` looks for names in the texts of views and functions as well, for servers whose catalog of
/// dependencies cannot be relied on.
pub(crate) fn first_objects(catalog: &Catalog, script: &mut Script, by_text: bool) {
    let tables: BTreeMap<ObjectId, &Table> =
        catalog.tables.iter().filter(|table| !table.external).map(|table| (table.id, table)).collect();
    let modules: BTreeMap<ObjectId, &Module> = catalog
        .modules
        .iter()
        .filter(|module| matches!(kind_of(catalog, module.id), "V" | "FN" | "IF" | "TF"))
        .map(|module| (module.id, module))
        .collect();
    let mut nodes: Vec<(u8, ObjectId)> = tables.keys().map(|id| (0, *id)).collect();
    nodes.extend(modules.keys().map(|id| (if kind_of(catalog, *id) == "V" { 2 } else { 1 }, *id)));
    let mut needs = catalog.dependencies.clone();
    if by_text {
        needs.extend(dependencies_by_text(catalog, &modules));
    }
    for id in ordered(&nodes, &needs) {
        if let Some(found) = tables.get(&id) {
            script.batch(&table(catalog, found));
            if let Some(index) = first_index(catalog, id, &table_name(found)) {
                script.batch(&index);
            }
        } else if let Some(found) = modules.get(&id) {
            module(script, found);
        }
    }
}

/// Adds procedures, and triggers of tables and views.
pub(crate) fn last_objects(catalog: &Catalog, script: &mut Script) {
    for procedure in catalog.modules.iter().filter(|module| kind_of(catalog, module.id) == "P") {
        module(script, procedure);
    }
    for trigger in &catalog.triggers {
        let Some(parent) = trigger.parent.and_then(|parent| catalog.objects.get(&parent)) else { continue };
        if add_trigger(catalog, script, trigger) && trigger.disabled {
            script.batch(&format!(
                "DISABLE TRIGGER {} ON {}",
                full_name(&parent.schema, &trigger.name),
                full_name(&parent.schema, &parent.name)
            ));
        }
    }
}

/// Adds the triggers of the database.
pub(crate) fn database_triggers(catalog: &Catalog, script: &mut Script) {
    for trigger in catalog.triggers.iter().filter(|trigger| trigger.parent.is_none()) {
        if add_trigger(catalog, script, trigger) && trigger.disabled {
            script.batch(&format!("DISABLE TRIGGER {} ON DATABASE", name(&trigger.name)));
        }
    }
}

/// Adds a trigger; returns whether it could be.
fn add_trigger(catalog: &Catalog, script: &mut Script, trigger: &Trigger) -> bool {
    let found = catalog.modules.iter().find(|module| module.id == trigger.id);
    let Some(found) = found.filter(|module| module.definition.is_some() && !is_native(module)) else {
        return false;
    };
    module(script, found);
    true
}

fn kind_of(catalog: &Catalog, id: ObjectId) -> &str {
    catalog.objects.get(&id).map_or("", |object| object.kind.as_str())
}

/// Tells whether a module is compiled for memory-optimised tables. Over ordinary tables it could not be made,
/// and would stop the load.
pub(crate) fn is_native(module: &Module) -> bool {
    let text = module.definition.as_deref().unwrap_or_default();
    text.to_ascii_lowercase().contains("native_compilation")
}

/// Adds one module under the settings that it was made under.
fn module(script: &mut Script, module: &Module) {
    let Some(definition) = module.definition.as_ref().filter(|_| !is_native(module)) else { return };
    let settings = [(module.ansi_nulls, "ANSI_NULLS"), (module.quoted_identifier, "QUOTED_IDENTIFIER")];
    for (_, setting) in settings.iter().filter(|(on, _)| !on) {
        script.batch(&format!("SET {setting} OFF"));
    }
    script.batch(definition);
    for (_, setting) in settings.iter().filter(|(on, _)| !on) {
        script.batch(&format!("SET {setting} ON"));
    }
}

/// Orders nodes so that each comes after what it needs; where they need each other, the one that would
/// come first without its needs does. Nodes that are equal in this come in their own order.
pub(super) fn ordered(nodes: &[(u8, ObjectId)], needs: &[(ObjectId, ObjectId)]) -> Vec<ObjectId> {
    let rank: BTreeMap<ObjectId, u8> = nodes.iter().map(|(rank, id)| (*id, *rank)).collect();
    let mut missing: BTreeMap<ObjectId, BTreeSet<ObjectId>> = BTreeMap::new();
    let mut needed_by: BTreeMap<ObjectId, BTreeSet<ObjectId>> = BTreeMap::new();
    for (from, to) in needs {
        if from != to && rank.contains_key(from) && rank.contains_key(to) {
            missing.entry(*from).or_default().insert(*to);
            needed_by.entry(*to).or_default().insert(*from);
        }
    }
    let is_free = |id: &ObjectId, missing: &BTreeMap<ObjectId, BTreeSet<ObjectId>>| {
        missing.get(id).is_none_or(BTreeSet::is_empty)
    };
    let mut waiting: BTreeSet<(u8, ObjectId)> = nodes.iter().copied().collect();
    let mut free: BTreeSet<(u8, ObjectId)> =
        nodes.iter().copied().filter(|(_, id)| is_free(id, &missing)).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(next) = free.pop_first().or_else(|| waiting.first().copied()) {
        waiting.remove(&next);
        order.push(next.1);
        for id in needed_by.remove(&next.1).unwrap_or_default() {
            if let Some(left) = missing.get_mut(&id) {
                left.remove(&next.1);
            }
            if let Some(rank) = rank.get(&id)
                && is_free(&id, &missing)
                && waiting.contains(&(*rank, id))
            {
                free.insert((*rank, id));
            }
        }
    }
    order
}

/// Finds what views and functions name in their texts.
fn dependencies_by_text(
    catalog: &Catalog,
    modules: &BTreeMap<ObjectId, &Module>,
) -> Vec<(ObjectId, ObjectId)> {
    let texts: BTreeMap<ObjectId, String> = modules
        .iter()
        .map(|(id, module)| (*id, module.definition.as_deref().unwrap_or_default().to_lowercase()))
        .collect();
    let mut found = Vec::new();
    for (id, text) in &texts {
        for other in modules.keys().filter(|other| *other != id) {
            let name = catalog.objects.get(other).map(|object| object.name.to_lowercase());
            if name.is_some_and(|name| text.contains(&name)) {
                found.push((*id, *other));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_comes_after_what_it_needs() {
        let nodes = [(0, 1), (0, 2), (1, 3), (2, 4), (2, 5)];
        assert_eq!(ordered(&nodes, &[]), [1, 2, 3, 4, 5]);
        // A table that computes with a function, and a view over a later view.
        assert_eq!(ordered(&nodes, &[(1, 3), (4, 5), (4, 99)]), [2, 3, 1, 5, 4]);
        // Two that need each other.
        assert_eq!(ordered(&nodes, &[(1, 3), (3, 1)]), [2, 4, 5, 1, 3]);
    }

    proptest! {
        #[test]
        fn all_come_once_whatever_they_need(
            count in 1_i64..30,
            needs in proptest::collection::vec((0_i64..32, 0_i64..32), 0..80),
        ) {
            let nodes: Vec<(u8, ObjectId)> = (0..count).map(|id| (u8::try_from(id % 3).unwrap_or(0), id)).collect();
            let mut order = ordered(&nodes, &needs);
            // Without circles, every need is met.
            let forward: Vec<_> = needs.iter().copied().filter(|(from, to)| from > to).collect();
            let met = ordered(&nodes, &forward);
            let place = |id: i64| met.iter().position(|known| *known == id);
            for (from, to) in forward.iter().filter(|(from, _)| *from < count) {
                prop_assert!(place(*from) > place(*to));
            }
            order.sort_unstable();
            prop_assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }
}
