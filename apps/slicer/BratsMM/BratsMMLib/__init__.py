"""Logic of the BraTS-MM module for 3D Slicer, with the standard library and numpy only.

`scene` and the widget receive Slicer as an argument. No module imports qt, ctk, vtk or slicer when it is loaded.
"""
