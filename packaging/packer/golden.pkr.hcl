# Packer: the last step of any build seals the machine and bakes the guest agent (README.md beside this file).
# Read by Packer 1.6 and newer. From 1.7 on, the Proxmox builders are a plugin: README.md says what to add for that.

variable "firstlight_guest" {
  type        = string
  default     = "firstlight-guest"
  description = "The static binary of the guest agent, for the machine's architecture."
}

variable "keep" {
  type        = string
  default     = ""
  description = "Options for the seal, such as --keep=authorized-keys (docs/identity-items.md has the items)."
}

variable "proxmox_url" {
  type    = string
  default = "https://pve.example.org:8006/api2/json"
}

variable "proxmox_node" {
  type    = string
  default = "pve"
}

variable "proxmox_user" {
  type    = string
  default = "packer@pve"
}

variable "proxmox_password" {
  type      = string
  default   = "not-set"
  sensitive = true
}

variable "clone_vm" {
  type        = string
  default     = "debian-13"
  description = "Name of the machine or template that the golden is made from."
}

variable "host" {
  type        = string
  default     = "192.0.2.1"
  description = "For the source null.machine: where the machine is."
}

variable "ssh_private_key_file" {
  type    = string
  default = "~/.ssh/id_ed25519"
}

# A machine of Proxmox VE, cloned, changed, and kept as a template.
source "proxmox-clone" "golden" {
  proxmox_url          = var.proxmox_url
  node                 = var.proxmox_node
  username             = var.proxmox_user
  password             = var.proxmox_password
  clone_vm             = var.clone_vm
  template_name        = "golden"
  qemu_agent           = true
  ssh_username         = "root"
  ssh_private_key_file = var.ssh_private_key_file
}

# Any machine that ssh reaches and that is switched off afterwards: packer build -only=null.machine -var host=... .
source "null" "machine" {
  communicator         = "ssh"
  ssh_host             = var.host
  ssh_username         = "root"
  ssh_private_key_file = var.ssh_private_key_file
}

build {
  sources = [
    "source.proxmox-clone.golden",
    "source.null.machine",
  ]

  # ... your own provisioners ...

  provisioner "file" {
    source      = var.firstlight_guest
    destination = "/tmp/firstlight-guest"
  }

  # Last: afterwards the machine has neither host keys nor a machine-id, and must not start again before it is cloned. The
  # connection that is open stays; sshd takes no new one. --live, because this very system is sealed while it runs.
  provisioner "shell" {
    inline = [
      "set -eu",
      "install -m 0755 /tmp/firstlight-guest /usr/bin/firstlight-guest",
      "rm /tmp/firstlight-guest",
      "# Else the shutdown would save a seed, and every clone start with the same one.",
      "systemctl stop systemd-random-seed.service",
      "firstlight-guest seal --live ${var.keep}",
      "sync",
    ]
    # As another user than root: "sudo sh '{{ .Path }}'".
    execute_command = "sh '{{ .Path }}'"
  }
}
