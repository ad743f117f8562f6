"""Reads a request of OTLP over HTTP in its JSON form with the official definitions, and prints what these hold; a field that
they do not know is an error."""

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

IDS = ("traceId", "spanId", "parentSpanId")


def as_protobuf_has_it(node):
    """OTLP writes ids in hexadecimal digits, where protobuf's own JSON has base64: the one difference between them."""
    if isinstance(node, dict):
        return {
            key: base64.b64encode(bytes.fromhex(value)).decode() if key in IDS else as_protobuf_has_it(value)
            for key, value in node.items()
        }
    return [as_protobuf_has_it(one) for one in node] if isinstance(node, list) else node


def typed(attributes):
    """`{key: [type, value]}`."""
    kinds = {one.key: one.value.WhichOneof("value") for one in attributes}
    return {one.key: [kinds[one.key], getattr(one.value, kinds[one.key])] for one in attributes}


read = json_format.ParseDict(as_protobuf_has_it(json.load(sys.stdin)), ExportTraceServiceRequest())
request = ExportTraceServiceRequest.FromString(read.SerializeToString())
json.dump(
    [
        {
            "resource": typed(resource.resource.attributes),
            "trace": span.trace_id.hex(),
            "id": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "name": span.name,
            "kind": Span.SpanKind.Name(span.kind),
            "start": span.start_time_unix_nano,
            "end": span.end_time_unix_nano,
            "status": Status.StatusCode.Name(span.status.code),
            "attributes": typed(span.attributes),
            "events": [event.name for event in span.events],
        }
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ],
    sys.stdout,
)
