//! The registry's part of the table of routes.

use super::{KIND, schemas, settings, subjects};
use crate::http::routes::{Errors, Named, Route};
use axum::routing::{delete, get, post, put};

const DELETED: Named = ("deleted", "what is deleted softly, too");
const DELETED_ONLY: Named = ("deletedOnly", "only what is deleted softly");
const OFFSET: Named = ("offset", "how many to pass over");
const LIMIT: Named = ("limit", "how many at most");
const FORMAT: Named = (
    "format",
    "`serialized`: a Protobuf file's descriptor in base64",
);
const NORMALIZE: Named = ("normalize", "the order of members does not count");
const PERMANENT: Named = ("permanent", "for ever; what is deleted softly already");
const OR_GLOBAL: Named = (
    "defaultToGlobal",
    "the one for all where the subject has none",
);
const VERBOSE: Named = ("verbose", "why not, too");
const FORCE: Named = ("force", "import although there are schemas");

const GET: Route = Route {
    method: "get",
    path: "",
    group: "Schema registry",
    does: "",
    parameters: &[],
    headers: &[],
    takes: &[],
    status: 200,
    gives: &[(KIND, "")],
    errors: &[],
    error_form: Errors::Registry,
    handler: || get(super::root),
};
const POST: Route = Route {
    method: "post",
    takes: &[KIND, "application/json"],
    ..GET
};
const PUT: Route = Route {
    method: "put",
    ..POST
};
const DELETE: Route = Route {
    method: "delete",
    ..GET
};

pub(in crate::http) const ROUTES: &[Route] = &[
    Route {
        path: "/schema-registry/subjects/{subject}/versions",
        does: "Registers a schema under a subject; one that is there already keeps its id.",
        parameters: &[NORMALIZE],
        errors: &[400, 403, 408, 409, 413, 422, 500, 503],
        handler: || post(subjects::register),
        ..POST
    },
    Route {
        path: "/schema-registry/",
        does: "That there is a registry.",
        handler: || get(super::root),
        ..GET
    },
    Route {
        path: "/schema-registry/contexts",
        does: "The contexts: the default one.",
        handler: || get(super::contexts),
        ..GET
    },
    Route {
        path: "/schema-registry/subjects",
        does: "Names of the subjects.",
        parameters: &[
            ("subjectPrefix", "only those that begin so"),
            DELETED,
            DELETED_ONLY,
            OFFSET,
            LIMIT,
        ],
        handler: || get(subjects::list),
        ..GET
    },
    Route {
        path: "/schema-registry/subjects/{subject}/versions",
        does: "Numbers of a subject's versions.",
        parameters: &[DELETED, DELETED_ONLY, OFFSET, LIMIT],
        errors: &[404],
        handler: || get(subjects::versions),
        ..GET
    },
    Route {
        path: "/schema-registry/subjects/{subject}/versions/{version}",
        does: "A version, by its number or `latest`.",
        parameters: &[DELETED, FORMAT],
        errors: &[404, 422],
        handler: || get(subjects::version),
        ..GET
    },
    Route {
        path: "/schema-registry/subjects/{subject}/versions/{version}/schema",
        does: "A version's schema alone.",
        parameters: &[DELETED],
        errors: &[404, 422],
        handler: || get(subjects::raw),
        ..GET
    },
    Route {
        path: "/schema-registry/subjects/{subject}/versions/{version}/referencedby",
        does: "Ids of the schemas that refer to a version.",
        errors: &[404, 422],
        handler: || get(subjects::referenced_by),
        ..GET
    },
    Route {
        path: "/schema-registry/subjects/{subject}",
        does: "Finds the version of a subject that is this very schema.",
        parameters: &[NORMALIZE, DELETED, FORMAT],
        errors: &[400, 403, 404, 408, 413, 422],
        handler: || post(subjects::lookup),
        ..POST
    },
    Route {
        path: "/schema-registry/v1/metadata/id",
        does: "Which registry this is.",
        handler: || get(super::metadata_id),
        ..GET
    },
    Route {
        path: "/schema-registry/v1/metadata/version",
        does: "The registry's version.",
        handler: || get(super::metadata_version),
        ..GET
    },
    Route {
        path: "/schema-registry/schemas",
        does: "All versions of all subjects, with their schemas.",
        parameters: &[
            ("subjectPrefix", "only of subjects that begin so"),
            ("latestOnly", "of each subject only the latest"),
            DELETED,
            DELETED_ONLY,
            OFFSET,
            ("limit", "how many at most; 1,000 are the most"),
        ],
        errors: &[422],
        handler: || get(schemas::all),
        ..GET
    },
    Route {
        path: "/schema-registry/schemas/ids/{id}",
        does: "The schema of an id.",
        parameters: &[FORMAT, ("fetchMaxId", "the greatest id, too")],
        errors: &[404],
        handler: || get(schemas::by_id),
        ..GET
    },
    Route {
        path: "/schema-registry/schemas/ids/{id}/schema",
        does: "The schema of an id alone.",
        errors: &[404],
        handler: || get(schemas::raw),
        ..GET
    },
    Route {
        path: "/schema-registry/schemas/ids/{id}/subjects",
        does: "Subjects that use an id.",
        parameters: &[DELETED, OFFSET, LIMIT],
        errors: &[404],
        handler: || get(schemas::subjects),
        ..GET
    },
    Route {
        path: "/schema-registry/schemas/ids/{id}/versions",
        does: "Subjects and versions that use an id.",
        parameters: &[DELETED, OFFSET, LIMIT],
        errors: &[404],
        handler: || get(schemas::versions),
        ..GET
    },
    Route {
        path: "/schema-registry/schemas/guids/{guid}",
        does: "The schema of a GUID.",
        parameters: &[FORMAT],
        errors: &[404],
        handler: || get(schemas::by_guid),
        ..GET
    },
    Route {
        path: "/schema-registry/schemas/types",
        does: "The languages of schemas.",
        handler: || get(schemas::types),
        ..GET
    },
    Route {
        path: "/schema-registry/compatibility/subjects/{subject}/versions",
        does: "Whether a schema is compatible with what the subject's level asks for.",
        parameters: &[VERBOSE],
        errors: &[400, 403, 404, 408, 413, 422],
        handler: || post(subjects::check_all),
        ..POST
    },
    Route {
        path: "/schema-registry/compatibility/subjects/{subject}/versions/{version}",
        does: "Whether a schema is compatible with a version.",
        parameters: &[VERBOSE],
        errors: &[400, 403, 404, 408, 413, 422],
        handler: || post(subjects::check_one),
        ..POST
    },
    Route {
        path: "/schema-registry/config",
        does: "The compatibility level for all subjects.",
        handler: || get(settings::level),
        ..GET
    },
    Route {
        path: "/schema-registry/config",
        does: "Sets the compatibility level for all subjects.",
        errors: &[400, 403, 408, 413, 422, 500, 503],
        handler: || put(settings::set_level),
        ..PUT
    },
    Route {
        path: "/schema-registry/config",
        does: "Takes the level for all subjects back to `BACKWARD`.",
        errors: &[403, 500, 503],
        handler: || delete(settings::unset_level),
        ..DELETE
    },
    Route {
        path: "/schema-registry/config/{subject}",
        does: "Sets a subject's own compatibility level.",
        errors: &[400, 403, 408, 413, 422, 500, 503],
        handler: || put(settings::set_level_of),
        ..PUT
    },
    Route {
        path: "/schema-registry/config/{subject}",
        does: "A subject's own compatibility level.",
        parameters: &[OR_GLOBAL],
        errors: &[404],
        handler: || get(settings::level_of),
        ..GET
    },
    Route {
        path: "/schema-registry/config/{subject}",
        does: "Takes a subject's own level away.",
        errors: &[403, 404, 500, 503],
        handler: || delete(settings::unset_level_of),
        ..DELETE
    },
    Route {
        path: "/schema-registry/mode",
        does: "The mode for all subjects.",
        handler: || get(settings::mode),
        ..GET
    },
    Route {
        path: "/schema-registry/mode",
        does: "Sets the mode for all subjects.",
        parameters: &[FORCE],
        errors: &[400, 403, 408, 413, 422, 500, 503],
        handler: || put(settings::set_mode),
        ..PUT
    },
    Route {
        path: "/schema-registry/mode",
        does: "Takes the mode for all subjects back to `READWRITE`.",
        errors: &[403, 500, 503],
        handler: || delete(settings::unset_mode),
        ..DELETE
    },
    Route {
        path: "/schema-registry/mode/{subject}",
        does: "Sets a subject's own mode.",
        parameters: &[FORCE],
        errors: &[400, 403, 408, 413, 422, 500, 503],
        handler: || put(settings::set_mode_of),
        ..PUT
    },
    Route {
        path: "/schema-registry/mode/{subject}",
        does: "A subject's own mode.",
        parameters: &[OR_GLOBAL],
        errors: &[404],
        handler: || get(settings::mode_of),
        ..GET
    },
    Route {
        path: "/schema-registry/mode/{subject}",
        does: "Takes a subject's own mode away.",
        errors: &[403, 404, 500, 503],
        handler: || delete(settings::unset_mode_of),
        ..DELETE
    },
    Route {
        path: "/schema-registry/subjects/{subject}/versions/{version}",
        does: "Deletes a version.",
        parameters: &[PERMANENT],
        errors: &[403, 404, 422, 500, 503],
        handler: || delete(subjects::delete_version),
        ..DELETE
    },
    Route {
        path: "/schema-registry/subjects/{subject}",
        does: "Deletes a subject.",
        parameters: &[PERMANENT],
        errors: &[403, 404, 422, 500, 503],
        handler: || delete(subjects::delete),
        ..DELETE
    },
];
