include("${CMAKE_CURRENT_LIST_DIR}/umasTargets.cmake")
