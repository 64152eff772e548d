# SPDX-License-Identifier: BSD-3-Clause
# UNTESTED: nobody has evaluated it yet. nixpkgs' own Swift may be older than 6.2. Pass a toolchain of 6.2 or later as `swift`.
{
  lib,
  stdenv,
  glib,
  libedit,
  meson,
  ninja,
  pkg-config,
  python3,
  swift,
}:
stdenv.mkDerivation {
  pname = "libvhushmem";
  version = "0.9.0";
  src = lib.cleanSource ../.;
  outputs = [ "out" "dev" "man" ];
  nativeBuildInputs = [ meson ninja pkg-config python3 swift ];
  buildInputs = [ libedit ];
  # The headers include glib.h.
  propagatedBuildInputs = [ glib ];
  postPatch = "patchShebangs scripts";
  mesonFlags = [ "-Dexamples=false" ];
  # The tests compile their programs with the compiler in PATH.
  doCheck = false;
  meta = {
    description = "vhost-user shared memory for virtual machine monitors";
    license = lib.licenses.bsd3;
    platforms = [ "x86_64-linux" "aarch64-linux" ];
  };
}
