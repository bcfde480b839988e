#!/usr/bin/env bash
# Build llama.cpp for this machine's processor: its library with the Python bindings, and llama-server, from one source.
#
#   bench/peers/build_llamacpp.sh ENVIRONMENT
#
# The source is that of the llama-cpp-python package, whose version bench/requirements.lock pins. One build, so that
# both benchmarks measure the same llama.cpp. CMAKE_BUILD_PARALLEL_LEVEL compilers
# run at a time (1 unless set), below everything else. Eight minutes of an idle core.
set -euo pipefail
environment=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/^llama_cpp_python==//p' "$here/../requirements.lock")
python="$environment/bin/python"
stamp="$environment/.llamacpp-$version"
if [[ -e $stamp ]]; then exit 0; fi
for tool in cmake c++; do
    command -v "$tool" > /dev/null || { echo "building llama.cpp needs $tool: install a C++ compiler and cmake" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest "$work" "llama-cpp-python==$version"
tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work"
source=("$work"/llama_cpp_python-*/)

# the bindings alone; never from or into pip's cache, where a package without its library would wait for others
CMAKE_ARGS="-DLLAMA_BUILD=OFF -DLLAVA_BUILD=OFF" \
    "$python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --force-reinstall "${source[0]}"

cmake -S "${source[0]}vendor/llama.cpp" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
    -DGGML_NATIVE=ON -DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_TESTS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
    -DLLAMA_OPENSSL=OFF "-DCMAKE_INSTALL_RPATH=\$ORIGIN" -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON > "$work/configure.log"
nice -n 19 cmake --build "$work/build" --target llama-server --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-1}" > "$work/build.log" ||
    { tail -n 20 "$work/build.log" >&2; exit 1; }

library=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/llama_cpp/lib
mkdir -p "$library"
cp -P "$work"/build/bin/lib*.so* "$work/build/bin/llama-server" "$library/" 2> /dev/null ||
    cp -P "$work"/build/bin/lib*.dylib "$work/build/bin/llama-server" "$library/"
# it loads, without a package that is not installed yet
"$python" -c 'import ctypes, glob, sys; ctypes.CDLL(glob.glob(sys.argv[1] + "/libllama.*")[0])' "$library"
rm -f "$environment"/.llamacpp-*
touch "$stamp"
