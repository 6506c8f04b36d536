# yyjson as the target umas_json: the system's, else compiled from the sources that PyPI's sdist of
# yyjson ships (UMAS_JSON_LICENSE: its licence, because its code then becomes part of umas).

find_path(YYJSON_INCLUDE_DIR yyjson.h)
find_library(YYJSON_LIBRARY yyjson)
mark_as_advanced(YYJSON_INCLUDE_DIR YYJSON_LIBRARY)

if(YYJSON_INCLUDE_DIR AND YYJSON_LIBRARY)
    message(STATUS "JSON: ${YYJSON_LIBRARY}")
    add_library(umas_json INTERFACE)
    target_include_directories(umas_json SYSTEM INTERFACE "${YYJSON_INCLUDE_DIR}")
    target_link_libraries(umas_json INTERFACE "${YYJSON_LIBRARY}")
    return()
endif()

set(yyjson "yyjson-4.0.6")
umas_python_fetch_source(${yyjson}
    HINT "Instead of it, yyjson of the system will do (yyjson.h and libyyjson).")
message(STATUS "JSON: ${yyjson} from PyPI")
set(yyjson_folder "${UMAS_VENV}/src/${yyjson}/yyjson")
add_library(umas_json OBJECT "${yyjson_folder}/yyjson.c")
target_include_directories(umas_json SYSTEM PUBLIC "${yyjson_folder}")
target_compile_options(umas_json PRIVATE -w)

# The sdist's own licence is that of the Python binding; yyjson's is its first comment.
set(UMAS_JSON_LICENSE "${PROJECT_BINARY_DIR}/LICENSE.yyjson")
file(READ "${yyjson_folder}/yyjson.c" notice LIMIT 2000)
string(REGEX REPLACE "\\*/.*" "*/\n" notice "${notice}")
file(WRITE "${UMAS_JSON_LICENSE}" "${notice}")
