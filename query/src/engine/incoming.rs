//! Streams that do something with rows as they come in: made, restored, dropped.

use super::ddl::engine_error;
use super::sources::{EngineSources, source_of};
use super::{QueryEngine, Session};
use crate::bind::windowed::{SourceRef, WindowedAggregate};
use crate::bind::{
    Binder, Derived, DerivedColumn, Latest, NewStream, Sources, Table, asked_time, derived_def,
    numbered, stream_def,
};
use crate::error::{BindError, BindResult, QueryError};
use crate::stream::StreamError;
use crate::transform::{Definition, Derivation, KIND, Program};
use crate::types::{arrow_schema, stored_of};
use arrow::datatypes::Field;
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;
use datafusion::logical_expr::{Expr, TableSource};
use query_lang::ast::{
    CreateStream, Ident, ObjectName, Place, Select, SelectItem, StatementKind, TableFactor,
    TableRef,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tsdb::types::{ColumnDef, ColumnId, DataType, Role, Schema, StreamId};
use tsdb::{Object, Stream};

/// What a stream does with rows as they come in, in the words of its `CREATE STREAM`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clauses {
    /// The query that makes its rows of another stream's.
    pub derived: Option<String>,
    /// The condition of `WHERE`.
    pub filter: Option<String>,
    /// `SAMPLE n PERCENT ..`
    pub sample: Option<String>,
    /// The expression of `PRIORITY`.
    pub priority: Option<String>,
}

impl Clauses {
    fn of(create: &CreateStream) -> Clauses {
        Clauses {
            derived: create.derived.as_ref().map(ToString::to_string),
            filter: create.filter.as_ref().map(ToString::to_string),
            sample: create.sample.as_ref().map(ToString::to_string),
            priority: create.priority.as_ref().map(ToString::to_string),
        }
    }

    /// A line for each.
    pub(super) fn lines(self) -> Vec<String> {
        let all = [
            self.derived.map(|q| format!("AS {q}")),
            self.filter.map(|e| format!("WHERE {e}")),
            self.sample,
            self.priority.map(|e| format!("PRIORITY {e}")),
        ];
        all.into_iter().flatten().collect()
    }
}

/// The statement that made a stream.
fn made_by(definition: &Definition) -> Result<CreateStream, QueryError> {
    let mut statements = query_lang::parse_statements(&definition.sql)?.into_iter();
    match statements.next().map(|s| s.kind) {
        Some(StatementKind::CreateStream(create)) => Ok(*create),
        _ => Err(QueryError::Storage("its definition is damaged".to_owned())),
    }
}

/// A stream's definition, and what is done with rows for it.
pub(super) struct Incoming {
    pub new: NewStream,
    bound: Option<Derived>,
}

impl QueryEngine {
    /// Binds what a `CREATE STREAM` asks for.
    pub(super) fn incoming(
        self: &Arc<Self>,
        session: &Session,
        sql: &str,
        create: &CreateStream,
    ) -> Result<Incoming, QueryError> {
        let bound = match &create.derived {
            Some(select) => self
                .bind_derived(session, create, select, &[])
                .map(|(new, bound)| Incoming {
                    new,
                    bound: Some(bound),
                }),
            None => self.bind_own(create),
        };
        bound.map_err(|e| e.locate(sql))
    }

    fn bind_own(&self, create: &CreateStream) -> BindResult<Incoming> {
        let mut new = stream_def(create)?;
        let acts = create.filter.is_some() || create.sample.is_some() || create.priority.is_some();
        if !acts {
            return Ok(Incoming { new, bound: None });
        }
        let columns = new.def.columns.iter().enumerate();
        let columns = columns.map(|(i, (name, data_type, role))| ColumnDef {
            // More columns than that are refused when the stream is made.
            id: ColumnId(i as u16),
            name: name.clone(),
            data_type: *data_type,
            role: *role,
        });
        let schema = Arc::new(Schema {
            columns: columns.collect(),
        });
        let name = create.name.last().map_or("", |n| n.value.as_str());
        let source = SourceRef {
            db: String::new(),
            name: name.to_owned(),
            // It has none yet.
            id: StreamId(0),
            arrow: arrow_schema(&schema),
            schema,
        };
        let (bound, notices) = self.bind_over(create, &OneSource(source))?;
        new.notices.extend(notices);
        Ok(Incoming {
            new,
            bound: Some(bound),
        })
    }

    /// Binds filter, sample and priority of a stream's own rows.
    fn bind_over(
        &self,
        create: &CreateStream,
        sources: &dyn Sources,
    ) -> BindResult<(Derived, Vec<String>)> {
        let name = create.name.last().map_or("", |n| n.value.as_str());
        let from = TableRef {
            factor: TableFactor::Table {
                name: ObjectName::single(Ident::quoted(name)),
                alias: None,
            },
            joins: Vec::new(),
        };
        let everything = SelectItem::Wildcard {
            of: None,
            except: Vec::new(),
            at: Place::default(),
        };
        let select = Select {
            distinct: None,
            distinct_at: Place::default(),
            items: vec![everything],
            from: vec![from],
            latest_on: None,
            selection: create.filter.clone(),
            window: None,
            group_by: Vec::new(),
            having: None,
            named_windows: Vec::new(),
            qualify: None,
        };
        let binder = Binder::new(sources, &self.functions, self.now());
        let span = create
            .filter
            .as_ref()
            .map_or(create.name.span(), |f| f.span);
        let (sample, priority) = (create.sample.as_ref(), create.priority.as_ref());
        let (mut bound, notices) = binder.derived(&select, sample, priority, span)?;
        // Rows stay as they are.
        bound.items.clear();
        Ok((bound, notices))
    }

    fn bind_derived(
        self: &Arc<Self>,
        session: &Session,
        create: &CreateStream,
        select: &Select,
        widths: &[(StreamId, u32)],
    ) -> BindResult<(NewStream, Derived)> {
        let sources = Frozen {
            now: EngineSources::new(self, session),
            widths,
        };
        let binder = Binder::new(&sources, &self.functions, self.now());
        let span = create.name.span();
        let (mut bound, notices) = binder.derived(select, create.sample.as_ref(), None, span)?;
        let time = match asked_time(create) {
            Some(_) => None,
            None => Some(time_item(&mut bound, create)?),
        };
        let columns = bound.items.iter().map(|item| {
            let column = item.column.and_then(|n| bound.source.schema.columns.get(n));
            let role = match column.map(|c| c.role) {
                Some(Role::Tag) => Role::Tag,
                _ => Role::Field,
            };
            let name = item.field.name();
            match stored_of(item.field.data_type()) {
                Some(data_type) => Ok((name.clone(), data_type, role)),
                None => {
                    let message = format!("\"{name}\" has a type that a stream cannot hold");
                    let hint = Some("write CAST(.. AS ..) around it".to_owned());
                    Err(BindError::new(item.span, message).hint(hint))
                }
            }
        });
        let columns: Vec<(String, DataType, Role)> = columns.collect::<BindResult<_>>()?;
        let mut new = derived_def(create, columns, time)?;
        new.notices.extend(notices);
        Ok((new, bound))
    }

    /// Makes the stream and what is done with rows for it, in one step for whoever brings rows.
    pub(super) fn make_stream(
        &self,
        create: &CreateStream,
        (db, name): (&str, &str),
        session: &Session,
        incoming: Incoming,
    ) -> Result<(), QueryError> {
        let catalog = self.engine().catalog();
        let Incoming { new, bound } = incoming;
        let Some(mut bound) = bound else {
            return catalog
                .create_stream(db, name, &new.def)
                .map(|_| ())
                .map_err(engine_error);
        };
        self.use_transforms();
        self.transforms.change(|registry| {
            let own = create.derived.is_none();
            let source = match own {
                true => None,
                // It may have been dropped since it was bound.
                false => Some(self.stream_of(bound.source.id)?),
            };
            let stream = catalog
                .create_stream(db, name, &new.def)
                .map_err(engine_error)?;
            if own {
                bound.source = source_of(&stream);
            }
            let definition = Definition {
                sql: create.to_string(),
                db: session.db.clone(),
                source: bound.source.id,
                widths: widths(&bound),
            };
            let made = self.program(create, &bound, &stream);
            let added = made.map(|program| add(registry, &stream, source.as_ref(), program));
            if let Err(e) = added {
                // Nobody has seen it: whoever brings rows has been waiting.
                let _ = catalog.drop_stream(db, name);
                return Err(QueryError::Exec(e.to_string()));
            }
            catalog.put_object(Object {
                kind: KIND.to_owned(),
                db: db.to_owned(),
                name: name.to_owned(),
                payload: definition.encode(),
            });
            Ok(())
        })
    }

    fn stream_of(&self, id: StreamId) -> Result<Arc<Stream>, QueryError> {
        let stream = self.engine().catalog().stream_by_id(id);
        stream.ok_or_else(|| QueryError::Conflict("the stream has just been dropped".to_owned()))
    }

    fn program(
        &self,
        create: &CreateStream,
        bound: &Derived,
        stream: &Arc<Stream>,
    ) -> Result<Made, StreamError> {
        let program = Program::new(bound, create.sample.as_ref())?;
        if create.derived.is_none() {
            return Ok(Made::Own(program));
        }
        let schema = stream.schema();
        let columns = bound.items.iter().map(|item| {
            let column = schema.column(item.field.name()).cloned();
            column.ok_or(StreamError::State("a derived stream's columns"))
        });
        Ok(Made::Derived(Derivation {
            stream: Arc::clone(stream),
            program,
            columns: columns.collect::<Result<_, _>>()?,
            counts: Arc::default(),
        }))
    }

    /// What streams, or one of them, do with rows as they come in, by database and name.
    #[must_use]
    pub fn clauses(&self, of: Option<&Stream>) -> BTreeMap<(String, String), Clauses> {
        let mut all = self.engine().catalog().objects(KIND);
        all.retain(|o| of.is_none_or(|s| s.db == o.db && s.name == o.name));
        let all = all.into_iter();
        let clauses = all.filter_map(|object| {
            let definition = Definition::decode(&object.payload)?;
            let create = made_by(&definition).ok()?;
            Some(((object.db, object.name), Clauses::of(&create)))
        });
        clauses.collect()
    }

    /// Restores what is done with rows, from the catalog. A stream whose definition can't be run takes no rows, and neither
    /// does one that such a stream is derived from: what would be missing could not be told later.
    pub(super) fn restore_transforms(self: &Arc<Self>) {
        for object in self.engine().catalog().objects(KIND) {
            self.use_transforms();
            let restored = self.restore_transform(&object);
            let Err((stream, error)) = restored else {
                continue;
            };
            tracing::error!(stream = %object.name, %error, "what is done with rows can't be restored");
            if let Some(stream) = stream {
                let why = format!("stream \"{}\" can't be restored: {error}", object.name);
                let catalog = self.engine().catalog();
                let broken = catalog.stream(&object.db, &object.name);
                let broken = broken.map_or(stream.id, |s| s.id);
                self.transforms
                    .change(|registry| registry.plan(&stream).broken.push((broken, why)));
            }
        }
    }

    /// An error comes with the stream whose rows cannot be taken.
    fn restore_transform(
        self: &Arc<Self>,
        object: &Object,
    ) -> Result<(), (Option<Arc<Stream>>, QueryError)> {
        let catalog = self.engine().catalog();
        let itself = catalog.stream(&object.db, &object.name);
        let damaged = || QueryError::Storage("its definition is damaged".to_owned());
        let definition = Definition::decode(&object.payload);
        let definition = definition.ok_or_else(|| (itself.clone(), damaged()))?;
        let source = catalog.stream_by_id(definition.source);
        let failed = |error: QueryError| (source.clone(), error);
        let create = made_by(&definition).map_err(failed)?;
        let stream = itself.ok_or_else(|| failed(damaged()))?;
        let session = Session::of(definition.db.clone());
        let bound = match &create.derived {
            None => self
                .bind_over(&create, &OneSource(source_of(&stream)))
                .map(|(bound, _)| bound),
            Some(select) => self
                .bind_derived(&session, &create, select, &definition.widths)
                .map(|(_, bound)| bound),
        };
        let bound = bound.map_err(|e| failed(e.locate(&definition.sql)))?;
        if bound.source.id != definition.source {
            let message = format!(
                "stream \"{}\" is not the one it was derived from",
                bound.source.name
            );
            return Err(failed(QueryError::Exec(message)));
        }
        let made = self.program(&create, &bound, &stream);
        let made = made.map_err(|e| failed(QueryError::Exec(e.to_string())))?;
        let derived = create.derived.is_some();
        self.transforms
            .change(|registry| add(registry, &stream, source.as_ref().filter(|_| derived), made));
        Ok(())
    }

    /// Drops a stream that nothing is derived from, and forgets what is done with rows for it.
    pub(super) fn remove_stream(&self, stream: &Stream) -> Result<(), QueryError> {
        let catalog = self.engine().catalog();
        // Under the lock, so that nothing is derived from it meanwhile.
        self.transforms.change(|registry| {
            if let Some(derived) = registry.derived_from(stream.id) {
                let message = format!(
                    "stream \"{derived}\" is made from rows of \"{}\": drop it first",
                    stream.name
                );
                return Err(QueryError::Conflict(message));
            }
            catalog
                .drop_stream(&stream.db, &stream.name)
                .map_err(engine_error)?;
            catalog.drop_object(KIND, &stream.db, &stream.name);
            registry.remove(stream.id);
            Ok(())
        })?;
        Ok(())
    }

    /// Lets the engine ask for what is to be done with rows.
    pub(super) fn use_transforms(&self) {
        let transforms: Arc<dyn tsdb::RowTransform> = Arc::clone(&self.transforms) as _;
        self.engine().set_transform(Some(transforms));
    }
}

enum Made {
    Own(Program),
    Derived(Derivation),
}

fn add(
    registry: &mut crate::transform::Registry,
    stream: &Arc<Stream>,
    source: Option<&Arc<Stream>>,
    made: Made,
) {
    match made {
        Made::Own(program) => registry.plan(stream).own = Some(Arc::new(program)),
        Made::Derived(derivation) => {
            let plan = registry.plan(source.unwrap_or(stream));
            plan.derived.push(Arc::new(derivation));
        }
    }
}

/// The place of the source's event time among a derived stream's columns. It is put behind them when it is not selected.
fn time_item(bound: &mut Derived, create: &CreateStream) -> BindResult<usize> {
    let columns = &bound.source.schema.columns;
    let number = columns.iter().position(|c| c.role == Role::Time);
    let number = number.unwrap_or_default();
    if let Some(at) = bound.items.iter().position(|i| i.column == Some(number)) {
        return Ok(at);
    }
    let name = &columns[number].name;
    if bound.items.iter().any(|i| i.field.name() == name) {
        let message = format!("the event time \"{name}\" is not selected, and its name is taken");
        let hint = "select it, or add WITH (event_time = 'column')".to_owned();
        return Err(BindError::new(create.name.span(), message).hint(Some(hint)));
    }
    bound.items.push(DerivedColumn {
        expr: Expr::Column(numbered(number).into()),
        field: Field::new(name, crate::types::TIMESTAMP, true),
        column: Some(number),
        span: create.name.span(),
    });
    Ok(bound.items.len() - 1)
}

/// How many columns all that is read has.
fn widths(bound: &Derived) -> Vec<(StreamId, u32)> {
    let source = (bound.source.id, bound.source.arrow.fields().len() as u32);
    let tables = bound.lookups.iter();
    let tables = tables.map(|l| (l.table.stream.id, l.table.state().columns.len() as u32));
    std::iter::once(source).chain(tables).collect()
}

/// Streams and tables with the columns that they had: those that came later are behind these.
struct Frozen<'a> {
    now: EngineSources<'a>,
    widths: &'a [(StreamId, u32)],
}

impl Sources for Frozen<'_> {
    fn table(&self, name: &ObjectName) -> BindResult<Table> {
        let mut table = self.now.table(name)?;
        let stream = table.stream.as_ref().map(|s| s.id);
        let id = stream.or_else(|| table.keyed.as_ref().map(|t| t.stream.id));
        let width = self.widths.iter().find(|(of, _)| Some(*of) == id);
        let arrow = table.rows.schema();
        let width = width.map_or(usize::MAX, |(_, n)| *n as usize);
        let columns: Vec<usize> = (0..arrow.fields().len().min(width)).collect();
        let arrow = Arc::new(arrow.project(&columns).map_err(|e| {
            // The first columns of a schema are always a schema.
            BindError::new(name.span(), e.to_string())
        })?);
        if let Some(source) = &mut table.stream {
            source.arrow = Arc::clone(&arrow);
        }
        // It is bound to and never run.
        table.rows = Arc::new(LogicalTableSource::new(arrow));
        Ok(table)
    }

    fn grouped(&self, _: &Arc<WindowedAggregate>, _: bool) -> Option<Arc<dyn TableSource>> {
        None
    }

    fn latest(&self, _: Latest) -> Option<Arc<dyn TableSource>> {
        None
    }
}

/// One stream, which may not be there yet.
struct OneSource(SourceRef);

impl Sources for OneSource {
    fn table(&self, name: &ObjectName) -> BindResult<Table> {
        let is = |n: &Ident| n.value == self.0.name;
        if !name.as_single().is_some_and(is) {
            let message = "the condition of a stream's rows reads nothing but the row";
            return Err(BindError::new(name.span(), message));
        }
        Ok(Table {
            name: self.0.name.clone(),
            rows: Arc::new(LogicalTableSource::new(Arc::clone(&self.0.arrow))),
            stream: Some(self.0.clone()),
            keyed: None,
        })
    }

    fn grouped(&self, _: &Arc<WindowedAggregate>, _: bool) -> Option<Arc<dyn TableSource>> {
        None
    }

    fn latest(&self, _: Latest) -> Option<Arc<dyn TableSource>> {
        None
    }
}
