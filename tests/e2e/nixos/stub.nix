# The module and the example without nixpkgs: what they use of `lib` and `pkgs`, as far as a look at the result needs it.
# Merging of several definitions and builds are nixpkgs' own, and not looked at here. Types are: each is a question to a value.
let
  isToml =
    value:
    if builtins.isAttrs value then
      builtins.all isToml (builtins.attrValues value)
    else if builtins.isList value then
      builtins.all isToml value
    else
      builtins.isString value || builtins.isInt value || builtins.isFloat value || builtins.isBool value;
  lib = {
    mkEnableOption = name: {
      default = false;
      type = builtins.isBool;
      description = "Whether to enable ${name}.";
    };
    mkOption = option: option;
    mkIf = condition: value: if condition then value else { };
    mkDefault = value: value;
    optional = condition: value: if condition then [ value ] else [ ];
    mapAttrsToList = f: set: map (name: f name set.${name}) (builtins.attrNames set);
    types = {
      package = value: builtins.isString value || value ? __toString;
      bool = builtins.isBool;
      attrsOf = inner: value: builtins.isAttrs value && builtins.all inner (builtins.attrValues value);
      listOf = inner: value: builtins.isList value && builtins.all inner value;
    };
  };
  pkgs = {
    formats.toml = _: {
      type = value: builtins.isAttrs value && isToml value;
      generate = name: value: { inherit name value; };
    };
    runCommand = name: _: script: {
      inherit name script;
      __toString = _: "/nix/store/0-${name}";
    };
  };
  module = import ../../../packaging/nixos/module.nix;
  with' =
    config:
    module {
      inherit lib pkgs config;
    };
  options = (with' { }).options.services.firstlight-guest;
  evaluated =
    configuration:
    let
      given = configuration.services.firstlight-guest;
      unknown = builtins.filter (name: !(options ? ${name})) (builtins.attrNames given);
      isWrong = name: !(options.${name}.type given.${name});
      wrong = builtins.filter isWrong (builtins.attrNames given);
      defaults = builtins.mapAttrs (_: option: option.default or null) options;
    in
    if unknown != [ ] then
      throw "no such options: ${toString unknown}"
    else if wrong != [ ] then
      throw "values of another type: ${toString wrong}"
    else
      (with' { services.firstlight-guest = defaults // given; }).config;
  example = evaluated (import ../../../packaging/nixos/example.nix { inherit pkgs; });
in
{
  inherit example;
  script = (builtins.head example.systemd.packages).script;
  off = evaluated { services.firstlight-guest.enable = false; };
  timer = (
    evaluated {
      services.firstlight-guest = {
        enable = true;
        package = "/p";
        evidenceTimer = true;
        checkClosure = false;
      };
    }
  );
  undescribed = builtins.filter (name: !(options.${name} ? description)) (builtins.attrNames options);
  # Defaults and examples that are no values of their own option.
  mistyped = builtins.filter (
    name:
    let
      option = options.${name};
      fits = attribute: !(option ? ${attribute}) || option.type option.${attribute};
    in
    !(fits "default" && fits "example")
  ) (builtins.attrNames options);
  # What a configuration may not say.
  taken =
    builtins.filter
      (given: (builtins.tryEval (builtins.deepSeq (evaluated { services.firstlight-guest = given; }) true)).success)
      [
        { enabled = true; }
        { enable = "yes"; }
        { checks = [ ]; }
        { checks.one.id = "not a list"; }
        { settings.checks.deadline = null; }
      ];
}
