# NixOS: the guest agent as a module. The units are those of units/guest with the store's path of the program; what
# `systemctl enable` does elsewhere is said here, since NixOS reads no [Install].
#
#   imports = [ ./firstlight/packaging/nixos/module.nix ];
#   services.firstlight-guest = { enable = true; package = firstlight-guest; };
#
# `package` has bin/firstlight-guest: the static binary of `cargo xtask build`, for one (see example.nix).
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.firstlight-guest;
  toml = pkgs.formats.toml { };
  # One file of readiness checks; docs/checks.md has the kinds and their keys.
  checkFile = name: checks: {
    name = "firstlight/checks.d/${name}.toml";
    value.source = toml.generate "firstlight-${name}.toml" { check = checks; };
  };
  units =
    pkgs.runCommand "firstlight-guest-units"
      {
        preferLocalBuild = true;
      }
      ''
        mkdir -p $out/lib/systemd
        cp -r ${../../units/guest} $out/lib/systemd/system
        chmod -R u+w $out/lib/systemd/system
        rm $out/lib/systemd/system/*.preset
        for unit in $out/lib/systemd/system/firstlight-*.service; do
          substituteInPlace "$unit" --replace-fail /usr/bin/firstlight-guest ${cfg.package}/bin/firstlight-guest
        done
      '';
in
{
  options.services.firstlight-guest = {
    enable = lib.mkEnableOption "the Firstlight guest agent: an identity of its own for each clone, before sshd, and signed readiness";
    package = lib.mkOption {
      type = lib.types.package;
      description = "What holds bin/firstlight-guest.";
    };
    settings = lib.mkOption {
      type = toml.type;
      default = { };
      example = {
        checks.deadline = "5m";
      };
      description = "/etc/firstlight/guest.toml; docs/guest-agent.md has all of it.";
    };
    checks = lib.mkOption {
      type = lib.types.attrsOf (lib.types.listOf toml.type);
      default = { };
      example = {
        stacks = [
          {
            id = "web";
            kind = "unit";
            unit = "docker-web.service";
          }
        ];
      };
      description = "Readiness checks, as files of /etc/firstlight/checks.d by name; docs/checks.md has the kinds.";
    };
    checkClosure = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Check that /run/current-system is a closure of the store: which one stands in reports, and `firstlight verify` compares it.";
    };
    evidenceTimer = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Send evidence to the companion from time to time: where the hypervisor can run nothing in the guest.";
    };
  };

  config = lib.mkIf cfg.enable {
    systemd.packages = [ units ];
    # For whoever logs in, and for `firstlight verify`: the hypervisor runs it from here.
    environment.systemPackages = [ cfg.package ];
    environment.etc = builtins.listToAttrs (
      [
        {
          name = "firstlight/guest.toml";
          value.source = toml.generate "firstlight-guest.toml" cfg.settings;
        }
      ]
      ++ lib.optional cfg.checkClosure (
        checkFile "50-nixos" [
          {
            id = "running-closure";
            kind = "symlink";
            path = "/run/current-system";
            target_prefix = "/nix/store/";
            deadline = "30s";
          }
        ]
      )
      ++ lib.mapAttrsToList checkFile cfg.checks
    );
    systemd.targets.firstlight-gate.wantedBy = [ "sysinit.target" ];
    systemd.services.firstlight-identity = {
      requiredBy = [ "firstlight-gate.target" ];
      # An upgrade counts from the next boot: a restart would take every way in down with it.
      restartIfChanged = false;
      stopIfChanged = false;
    };
    systemd.services.firstlight-report = {
      wantedBy = [ "multi-user.target" ];
      restartIfChanged = false;
    };
    systemd.timers.firstlight-evidence.wantedBy = lib.optional cfg.evidenceTimer "timers.target";
    # The name is the companion's to give, and a link into the store could not be written.
    networking.hostName = lib.mkDefault "";
  };
}
