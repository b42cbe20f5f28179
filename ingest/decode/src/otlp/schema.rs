//! The messages of OTLP metrics as JSON names them: which field has which number and type.
//!
//! Source: `opentelemetry/proto/{common,resource,metrics}/v1/*.proto` of opentelemetry-proto 1.9.

/// A field's type.
pub(super) enum Type {
    Message(&'static &'static [Field]),
    Text,
    /// Base64 in JSON.
    Bytes,
    /// Hexadecimal in JSON, which is OTLP's own rule for ids.
    Hex,
    Double,
    Bool,
    /// Eight bytes, unsigned or signed.
    Fixed64,
    SFixed64,
    /// Varints.
    Int64,
    UInt64,
    UInt32,
    SInt32,
    /// An enum: an integer, or one of these names, numbered from 0 on.
    Enum(&'static [&'static str]),
}

/// A field of a message.
pub(super) struct Field {
    pub number: u32,
    /// In camel case; the snake case that the schema has is taken, too.
    pub name: &'static str,
    pub of: Type,
    pub repeated: bool,
}

const fn one(number: u32, name: &'static str, of: Type) -> Field {
    Field {
        number,
        name,
        of,
        repeated: false,
    }
}

const fn many(number: u32, name: &'static str, of: Type) -> Field {
    Field {
        number,
        name,
        of,
        repeated: true,
    }
}

use Type::{
    Bool, Bytes, Double, Enum, Fixed64, Hex, Int64, Message, SFixed64, SInt32, Text, UInt32, UInt64,
};

pub(super) static REQUEST: &[Field] = &[many(1, "resourceMetrics", Message(&RESOURCE_METRICS))];

static RESOURCE_METRICS: &[Field] = &[
    one(1, "resource", Message(&RESOURCE)),
    many(2, "scopeMetrics", Message(&SCOPE_METRICS)),
    one(3, "schemaUrl", Text),
];

static RESOURCE: &[Field] = &[
    many(1, "attributes", Message(&KEY_VALUE)),
    one(2, "droppedAttributesCount", UInt32),
];

static SCOPE_METRICS: &[Field] = &[
    one(1, "scope", Message(&SCOPE)),
    many(2, "metrics", Message(&METRIC)),
    one(3, "schemaUrl", Text),
];

static SCOPE: &[Field] = &[
    one(1, "name", Text),
    one(2, "version", Text),
    many(3, "attributes", Message(&KEY_VALUE)),
    one(4, "droppedAttributesCount", UInt32),
];

static KEY_VALUE: &[Field] = &[one(1, "key", Text), one(2, "value", Message(&ANY_VALUE))];

static ANY_VALUE: &[Field] = &[
    one(1, "stringValue", Text),
    one(2, "boolValue", Bool),
    one(3, "intValue", Int64),
    one(4, "doubleValue", Double),
    one(5, "arrayValue", Message(&ARRAY_VALUE)),
    one(6, "kvlistValue", Message(&KV_LIST)),
    one(7, "bytesValue", Bytes),
];

static ARRAY_VALUE: &[Field] = &[many(1, "values", Message(&ANY_VALUE))];

static KV_LIST: &[Field] = &[many(1, "values", Message(&KEY_VALUE))];

static METRIC: &[Field] = &[
    one(1, "name", Text),
    one(2, "description", Text),
    one(3, "unit", Text),
    one(5, "gauge", Message(&GAUGE)),
    one(7, "sum", Message(&SUM)),
    one(9, "histogram", Message(&HISTOGRAM)),
    one(10, "exponentialHistogram", Message(&EXPONENTIAL)),
    one(11, "summary", Message(&SUMMARY)),
    many(12, "metadata", Message(&KEY_VALUE)),
];

const TEMPORALITY: Type = Enum(&[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
]);

static GAUGE: &[Field] = &[many(1, "dataPoints", Message(&NUMBER_POINT))];

static SUM: &[Field] = &[
    many(1, "dataPoints", Message(&NUMBER_POINT)),
    one(2, "aggregationTemporality", TEMPORALITY),
    one(3, "isMonotonic", Bool),
];

static HISTOGRAM: &[Field] = &[
    many(1, "dataPoints", Message(&HISTOGRAM_POINT)),
    one(2, "aggregationTemporality", TEMPORALITY),
];

static EXPONENTIAL: &[Field] = &[
    many(1, "dataPoints", Message(&EXPONENTIAL_POINT)),
    one(2, "aggregationTemporality", TEMPORALITY),
];

static SUMMARY: &[Field] = &[many(1, "dataPoints", Message(&SUMMARY_POINT))];

static NUMBER_POINT: &[Field] = &[
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "asDouble", Double),
    many(5, "exemplars", Message(&EXEMPLAR)),
    one(6, "asInt", SFixed64),
    many(7, "attributes", Message(&KEY_VALUE)),
    one(8, "flags", UInt32),
];

static HISTOGRAM_POINT: &[Field] = &[
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    many(6, "bucketCounts", Fixed64),
    many(7, "explicitBounds", Double),
    many(8, "exemplars", Message(&EXEMPLAR)),
    many(9, "attributes", Message(&KEY_VALUE)),
    one(10, "flags", UInt32),
    one(11, "min", Double),
    one(12, "max", Double),
];

static EXPONENTIAL_POINT: &[Field] = &[
    many(1, "attributes", Message(&KEY_VALUE)),
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    one(6, "scale", SInt32),
    one(7, "zeroCount", Fixed64),
    one(8, "positive", Message(&BUCKETS)),
    one(9, "negative", Message(&BUCKETS)),
    one(10, "flags", UInt32),
    many(11, "exemplars", Message(&EXEMPLAR)),
    one(12, "min", Double),
    one(13, "max", Double),
    one(14, "zeroThreshold", Double),
];

static BUCKETS: &[Field] = &[one(1, "offset", SInt32), many(2, "bucketCounts", UInt64)];

static SUMMARY_POINT: &[Field] = &[
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    many(6, "quantileValues", Message(&QUANTILE)),
    many(7, "attributes", Message(&KEY_VALUE)),
    one(8, "flags", UInt32),
];

static QUANTILE: &[Field] = &[one(1, "quantile", Double), one(2, "value", Double)];

static EXEMPLAR: &[Field] = &[
    one(2, "timeUnixNano", Fixed64),
    one(3, "asDouble", Double),
    one(4, "spanId", Hex),
    one(5, "traceId", Hex),
    one(6, "asInt", SFixed64),
    many(7, "filteredAttributes", Message(&KEY_VALUE)),
];
