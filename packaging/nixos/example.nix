# NixOS on Incus, rebuilt from git with one secret. Firstlight brings the guest up, lays the one age key down before its
# first boot, and knows by the checks below when it is whole:
#
#   [[guest]]
#   name = "stack-01"
#   backend = "incus"
#   golden = "nixos-stack"
#   memory = "8G"
#
#   [guest.readiness]
#   timeout = "50m"
#
#   [[guest.secrets]]
#   path = "/var/lib/sops-nix/key.txt"
#   file = "/etc/firstlight/secrets/{name}.age"
#
# A container: before a machine (`kind = "vm"`) runs, Incus can write nothing into it, and a spec with a secret is refused.
#
# Afterwards `firstlight verify stack-01 --out stack-01.evidence` says the same again, signed, for whoever asks.
{ pkgs, ... }:
let
  stacks = [
    "proxy"
    "auth"
    "db"
    "app"
    "mail"
    "backup"
  ];
in
{
  imports = [
    ./module.nix
    # <nixpkgs/nixos/modules/virtualisation/lxc-container.nix>, sops-nix and the stacks themselves
  ];

  services.openssh.enable = true;
  services.firstlight-guest = {
    enable = true;
    # The static binary beside this file, as `cargo xtask build --release` made it.
    package = pkgs.runCommand "firstlight-guest" { } ''
      install -D -m 0755 ${./firstlight-guest} $out/bin/firstlight-guest
    '';
    # The machine builds itself from git at its first boot.
    settings.checks.deadline = "45m";
    checks = {
      # All stacks are up, nothing failed on the way, and what converges has converged.
      "60-stacks" =
        map (stack: {
          id = "stack-${stack}";
          kind = "unit";
          unit = "docker-${stack}.service";
        }) stacks
        ++ [
          {
            id = "activation";
            kind = "failed-units";
          }
        ];
      # The one secret came, and what it opens is where it belongs: in memory, for root.
      "70-secrets" = [
        {
          id = "age-key";
          kind = "file";
          path = "/var/lib/sops-nix/key.txt";
          owner = "root:root";
          mode = "0400";
        }
        {
          id = "secrets";
          kind = "mount";
          path = "/run/secrets.d";
        }
      ];
      # What is served is what git has.
      "80-tls" = [
        {
          id = "tls-leaf";
          kind = "tls-leaf";
          address = "127.0.0.1:443";
          server_name = "stack.example.org";
          certificate = "/etc/ssl/certs/stack.example.org.pem";
        }
      ];
    };
  };

  # Host keys are the agent's to make: sops' recipient is derived from them, so no two machines may share one.
  services.openssh.hostKeys = [
    {
      type = "ed25519";
      path = "/etc/ssh/ssh_host_ed25519_key";
    }
  ];
}
