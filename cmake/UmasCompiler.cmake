# Options, language standards and warnings for every target.

option(UMAS_NATIVE "Compile for this machine's processor (the result may not run on others)" OFF)
option(UMAS_SANITIZE "Build with the address and undefined-behaviour sanitizers" OFF)
option(UMAS_WHEEL "Install as the Python package is laid out (pyproject.toml sets it)" OFF)
option(UMAS_LINT "Test the sources' format and run clang-tidy" OFF)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_package(OpenMP REQUIRED COMPONENTS C)

set(host_options -Wall -Wextra -Wshadow -Wpedantic)
if(UMAS_NATIVE)
    list(APPEND host_options -march=native)
endif()
if(UMAS_SANITIZE)
    list(APPEND host_options -fsanitize=address,undefined -fno-sanitize-recover=undefined
         -fno-omit-frame-pointer)
    add_link_options(-fsanitize=address,undefined)
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:${host_options}>") # nvcc takes none of these
