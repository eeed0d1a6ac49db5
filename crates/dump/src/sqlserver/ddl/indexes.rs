//! Indexes.

use std::fmt::Write as _;

use super::super::catalog::{Catalog, Index, ObjectId};
use super::super::literal::{Script, full_name, name};
use super::tables::{compression, is_first_key, key_constraint, partition};

/// Writes the clustered index of a table that is no constraint; it orders the rows as they come.
pub(super) fn first_index(catalog: &Catalog, table: ObjectId, table_name: &str) -> Option<String> {
    let index = catalog.indexes.iter().find(|index| index.table == table && index.kind == 1)?;
    (!is_first_key(index)).then(|| row_index(index, table_name))
}

/// Adds all indexes that are built when the rows are there; clustered ones of views come first.
pub(crate) fn later_indexes(catalog: &Catalog, script: &mut Script) {
    let kept = |index: &&Index| match catalog.objects.get(&index.table).map(|object| object.kind.as_str()) {
        Some("U") => index.kind > 1,
        Some("V") => index.kind > 0,
        _ => false,
    };
    let mut indexes: Vec<&Index> = catalog.indexes.iter().filter(kept).collect();
    // Secondary XML indexes need their primary one.
    indexes.sort_by_key(|index| {
        let secondary = index.xml.as_ref().is_some_and(|xml| xml.secondary.is_some());
        (index.kind == 3, secondary, index.kind == 4, index.table, index.id)
    });
    for index in indexes {
        let Some(object) = catalog.objects.get(&index.table) else { continue };
        let table = full_name(&object.schema, &object.name);
        if let Some(statement) = statement(catalog, index, &table) {
            script.batch(&statement);
        }
    }
    for index in catalog.indexes.iter().filter(|index| index.disabled && !index.name.is_empty()) {
        let Some(object) = catalog.objects.get(&index.table) else { continue };
        let table = full_name(&object.schema, &object.name);
        script.batch(&format!("ALTER INDEX {} ON {table} DISABLE", name(&index.name)));
    }
}

fn statement(catalog: &Catalog, index: &Index, table: &str) -> Option<String> {
    if index.primary_key || index.unique_constraint {
        return Some(format!("ALTER TABLE {table} ADD {}", key_constraint(index, true)));
    }
    match index.kind {
        1 | 2 | 7 => Some(row_index(index, table)),
        3 => xml_index(catalog, index, table),
        4 => spatial_index(index, table),
        5 | 6 => Some(columnstore_index(index, table)),
        _ => None,
    }
}

fn row_index(index: &Index, table: &str) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let order = if index.kind == 1 { "CLUSTERED" } else { "NONCLUSTERED" };
    let mut text =
        format!("CREATE {unique}{order} INDEX {} ON {table} ({})", name(&index.name), key_columns(index));
    let included: Vec<String> =
        index.columns.iter().filter(|column| column.included).map(|column| name(&column.name)).collect();
    if !included.is_empty() {
        let _ = write!(text, " INCLUDE ({})", included.join(", "));
    }
    if let Some(filter) = &index.filter {
        let _ = write!(text, " WHERE {filter}");
    }
    text.push_str(&options(index));
    text.push_str(&partition(index));
    text
}

fn columnstore_index(index: &Index, table: &str) -> String {
    let archive = if index.compression == 4 { " WITH (DATA_COMPRESSION = COLUMNSTORE_ARCHIVE)" } else { "" };
    let name = name(&index.name);
    if index.kind == 5 {
        return format!("CREATE CLUSTERED COLUMNSTORE INDEX {name} ON {table}{archive}{}", partition(index));
    }
    let columns: Vec<String> = index
        .columns
        .iter()
        .filter(|column| column.included || column.key > 0)
        .map(|column| super::super::literal::name(&column.name))
        .collect();
    let filter = index.filter.as_ref().map_or_else(String::new, |filter| format!(" WHERE {filter}"));
    format!(
        "CREATE NONCLUSTERED COLUMNSTORE INDEX {name} ON {table} ({}){filter}{archive}{}",
        columns.join(", "),
        partition(index)
    )
}

fn xml_index(catalog: &Catalog, index: &Index, table: &str) -> Option<String> {
    let xml = index.xml.as_ref()?;
    let column = name(&index.columns.first()?.name);
    let Some(secondary) = &xml.secondary else {
        return Some(format!("CREATE PRIMARY XML INDEX {} ON {table} ({column})", name(&index.name)));
    };
    let using =
        catalog.indexes.iter().find(|other| other.table == index.table && Some(other.id) == xml.using)?;
    let kind = match secondary.as_str() {
        "P" => "PATH",
        "V" => "VALUE",
        "R" => "PROPERTY",
        _ => return None,
    };
    Some(format!(
        "CREATE XML INDEX {} ON {table} ({column}) USING XML INDEX {} FOR {kind}",
        name(&index.name),
        name(&using.name)
    ))
}

fn spatial_index(index: &Index, table: &str) -> Option<String> {
    let spatial = index.spatial.as_ref()?;
    let is_word = spatial.scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let column = name(&index.columns.first()?.name);
    let mut options = Vec::new();
    if let Some([xmin, ymin, xmax, ymax]) = &spatial.bounding_box {
        options.push(format!("BOUNDING_BOX = ({xmin}, {ymin}, {xmax}, {ymax})"));
    }
    let is_grid = |grid: &String| matches!(grid.as_str(), "LOW" | "MEDIUM" | "HIGH");
    if let Some(grids) = spatial.grids.as_ref().filter(|grids| grids.iter().all(is_grid)) {
        options.push(format!(
            "GRIDS = (LEVEL_1 = {}, LEVEL_2 = {}, LEVEL_3 = {}, LEVEL_4 = {})",
            grids[0], grids[1], grids[2], grids[3]
        ));
    }
    if let Some(cells) = spatial.cells {
        options.push(format!("CELLS_PER_OBJECT = {cells}"));
    }
    let options = if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) };
    is_word.then(|| {
        format!(
            "CREATE SPATIAL INDEX {} ON {table} ({column}) USING {}{options}",
            name(&index.name),
            spatial.scheme
        )
    })
}

/// Writes the columns by which an index is ordered.
pub(super) fn key_columns(index: &Index) -> String {
    let keys = index.columns.iter().filter(|column| column.key > 0 && !column.included);
    let keys: Vec<String> = keys
        .map(|column| format!("{}{}", name(&column.name), if column.descending { " DESC" } else { "" }))
        .collect();
    keys.join(", ")
}

/// Writes the options that are not the usual ones.
pub(super) fn options(index: &Index) -> String {
    let mut options = Vec::new();
    if index.padded {
        options.push("PAD_INDEX = ON".to_owned());
    }
    if index.fill_factor > 0 && index.fill_factor < 100 {
        options.push(format!("FILLFACTOR = {}", index.fill_factor));
    }
    if index.ignore_duplicates {
        options.push("IGNORE_DUP_KEY = ON".to_owned());
    }
    if !index.row_locks {
        options.push("ALLOW_ROW_LOCKS = OFF".to_owned());
    }
    if !index.page_locks {
        options.push("ALLOW_PAGE_LOCKS = OFF".to_owned());
    }
    if matches!(index.compression, 1 | 2) {
        options.push(format!("DATA_COMPRESSION = {}", compression(index.compression)));
    }
    if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) }
}
