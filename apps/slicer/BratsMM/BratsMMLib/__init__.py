"""What the BraTS-MM module for 3D Slicer knows without 3D Slicer: standard library and numpy only.

`scene` and the widget get Slicer handed in; nothing here imports qt, ctk, vtk or slicer.
"""
