"""Requests on stdin, what Proxmox's own schema says of them on stdout; one JSON object a line.

In:  {"method": "POST", "path": "/nodes/pve1/lxc", "parameters": [["vmid", "104"], ...]}, the path as it is sent
Out: {"template": "/nodes/{node}/lxc", "errors": {parameter: why}, "unchecked": [formats that nobody here knows]}
"""

import json
import sys
import urllib.parse

from fakepve import formats, schema


def judge(request):
    path = "/".join(urllib.parse.unquote(part) for part in request["path"].split("/"))
    match = schema.load().match(path)
    if match is None:
        # A volume's name has slashes, and is one parameter.
        match = schema.load().match(request["path"])
    if match is None:
        return {"template": None, "errors": {"path": "no such path"}, "unchecked": []}
    spec = match.methods.get(request["method"])
    if spec is None:
        return {"template": match.template, "errors": {"method": "no such method"}, "unchecked": []}
    spec = spec.get("parameters") or {}
    known = spec.get("properties", {})
    values, errors = {}, {}
    for name, value in request["parameters"]:
        if name in values or name in match.params:
            errors[name] = "given twice"
        values[name] = value
    # Some parts of paths are not declared as parameters.
    values.update((name, urllib.parse.unquote(part)) for name, part in match.params.items() if name in known)
    errors.update(schema.validate(spec, values)[1])
    return {"template": match.template, "errors": errors, "unchecked": sorted(unchecked(known, values))}


def unchecked(known, values):
    for name in values:
        wanted = (schema._prop(known, name) or {}).get("format")
        if not isinstance(wanted, str) or schema.registered(wanted) is not None:
            continue
        if wanted.removesuffix("-opt").removesuffix("-list") not in formats.NAMED:
            yield wanted


for line in sys.stdin:
    print(json.dumps(judge(json.loads(line))))
