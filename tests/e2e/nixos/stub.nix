# The module and the example without nixpkgs: what they use of `lib` and `pkgs`, as far as a look at the result needs it.
# Merging of several definitions, types and builds are nixpkgs' own, and not looked at here.
let
  lib = {
    mkEnableOption = _: { default = false; };
    mkOption = option: option;
    mkIf = condition: value: if condition then value else { };
    mkDefault = value: value;
    optional = condition: value: if condition then [ value ] else [ ];
    mapAttrsToList = f: set: map (name: f name set.${name}) (builtins.attrNames set);
    types = {
      package = "package";
      bool = "bool";
      attrsOf = inner: { attrsOf = inner; };
      listOf = inner: { listOf = inner; };
    };
  };
  pkgs = {
    formats.toml = _: {
      type = "toml";
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
      defaults = builtins.mapAttrs (_: option: option.default or null) options;
    in
    if unknown != [ ] then
      throw "no such options: ${toString unknown}"
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
  undescribed = builtins.filter (name: !(options.${name} ? description) && name != "enable") (
    builtins.attrNames options
  );
}
